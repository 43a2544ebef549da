//! What operators have paused, as this process last heard, and what of it concerns a run.
//!
//! Each claim and each renewal brings the whole list. When something stands on it no longer, the runs that waited for it
//! are made due, spread over a while, by whichever worker hears of it first; so they are at a worker's first hearing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::Shared;
use crate::machine::{Gate, Launch};
use crate::ports::{Facts, Pause};
use crate::registry::Saga;

pub(super) type Heard = Arc<[Pause]>;

pub(crate) struct Pauses {
    heard: watch::Sender<Heard>,
    /// Runs may wait for what is over.
    owed: AtomicBool,
    /// Somebody sees to them.
    busy: AtomicBool,
}

impl Default for Pauses {
    /// What was lifted before is not known, so that there may be runs to be seen to.
    fn default() -> Self {
        Self { heard: watch::Sender::new(Arc::default()), owed: AtomicBool::new(true), busy: AtomicBool::new(false) }
    }
}

impl Pauses {
    pub fn subscribe(&self) -> watch::Receiver<Heard> {
        self.heard.subscribe()
    }

    /// A run was released for a pause that may have ended meanwhile: the next hearing sees to it.
    pub fn owe(&self) {
        self.owed.store(true, Ordering::SeqCst);
    }

    fn learn(&self, pauses: Vec<Pause>) {
        let holds = |was: &Pause| pauses.iter().any(|is| is.scope == was.scope && (is.undo || !was.undo));
        let over = !self.heard.borrow().iter().all(holds);
        self.heard.send_if_modified(|heard| {
            let differs = **heard != *pauses;
            *heard = pauses.into();
            differs
        });
        // Only now: a run that was released for what this process took to be paused until here is seen to by the same call.
        if over {
            self.owe();
        }
    }
}

impl<C: Clone + Send + Sync + 'static> Shared<C> {
    /// Takes in what the store told, and lets go on what waits for pauses that are over.
    pub fn hear(self: &Arc<Self>, pauses: Vec<Pause>) {
        self.pauses.learn(pauses);
        if !self.pauses.owed.load(Ordering::SeqCst) || self.pauses.busy.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = self.clone();
        tokio::spawn(async move {
            shared.pauses.owed.store(false, Ordering::SeqCst);
            match shared.runs.resume(shared.options.resume_over).await {
                Ok(0) => {}
                Ok(runs) => {
                    tracing::info!(runs, "runs go on after a pause");
                    shared.wake.notify_one();
                }
                Err(error) => {
                    tracing::warn!(%error, "runs that wait for a pause that is over cannot be made due; trying again");
                    shared.pauses.owe();
                }
            }
            shared.pauses.busy.store(false, Ordering::SeqCst);
        });
    }
}

/// The scopes that a pause of holds a run back.
pub(super) struct Reach {
    run: Vec<String>,
    /// Of each step.
    steps: Vec<Option<String>>,
}

impl Reach {
    pub fn of<C: 'static>(saga: &Saga<C>, facts: &Facts) -> Self {
        let steps = saga.steps.iter().zip(&saga.definition.steps);
        Self { run: facts.scopes.clone(), steps: steps.map(|(code, of)| code.draws_on(&facts.input, &of.with)).collect() }
    }

    /// What an attempt of this step draws on.
    pub fn draws_on(&self, step: usize) -> Option<&str> {
        self.steps[step].as_deref()
    }

    /// [`Gate::Paused`] or [`Gate::Open`].
    pub fn gate(&self, pauses: &[Pause], launch: Launch) -> Gate {
        let mut by = Vec::new();
        let mut whole = false;
        for pause in pauses.iter().filter(|pause| pause.undo || !launch.undo) {
            let run = self.run.contains(&pause.scope);
            if run || self.steps[launch.step].as_ref() == Some(&pause.scope) {
                by.push(pause.scope.clone());
                whole |= run;
            }
        }
        if by.is_empty() { Gate::Open } else { Gate::Paused { by, whole } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(scope: &str, undo: bool) -> Pause {
        Pause { scope: scope.to_owned(), undo }
    }

    #[test]
    fn a_backend_holds_back_its_own_steps_and_a_saga_or_an_account_all_of_them() {
        let reach = Reach { run: vec!["saga:s".to_owned(), "account:a".to_owned()], steps: vec![None, Some("backend:b".to_owned())] };
        let gate = |pauses: &[Pause], step, undo| reach.gate(pauses, Launch { step, attempt: 1, undo });
        let paused = |by: &[&str], whole| Gate::Paused { by: by.iter().map(ToString::to_string).collect(), whole };
        assert_eq!(gate(&[pause("backend:b", false)], 0, false), Gate::Open);
        assert_eq!(gate(&[pause("backend:b", false)], 1, false), paused(&["backend:b"], false));
        assert_eq!(gate(&[pause("backend:b", false)], 1, true), Gate::Open, "undo goes on");
        assert_eq!(gate(&[pause("backend:b", true)], 1, true), paused(&["backend:b"], false));
        assert_eq!(gate(&[pause("backend:other", true), pause("saga:other", true)], 1, false), Gate::Open);
        let both = [pause("account:a", true), pause("backend:b", false)];
        assert_eq!(gate(&both, 1, false), paused(&["account:a", "backend:b"], true));
        assert_eq!(gate(&both, 1, true), paused(&["account:a"], true));
    }

    #[test]
    fn what_is_on_the_list_no_longer_or_lets_undo_go_on_is_owed() {
        let after = |was: Vec<Pause>, is: Vec<Pause>| {
            let pauses = Pauses::default();
            pauses.learn(was);
            pauses.owed.store(false, Ordering::SeqCst);
            pauses.learn(is);
            pauses.owed.load(Ordering::SeqCst)
        };
        assert!(Pauses::default().owed.load(Ordering::SeqCst), "nobody knows what was lifted before");
        assert!(after(vec![pause("a", false)], vec![]));
        assert!(after(vec![pause("a", true)], vec![pause("a", false)]));
        assert!(!after(vec![pause("a", false)], vec![pause("a", true), pause("b", false)]));
    }
}
