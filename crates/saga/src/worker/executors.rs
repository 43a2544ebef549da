//! The executors of one registration, and how many runs of each scope they are at.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::executor::Executor;
use super::{Options, Shared};
use crate::ports::ClaimedRun;
use crate::{RunId, Time};

#[derive(Default)]
pub(super) struct Executors {
    pub set: JoinSet<()>,
    by_task: HashMap<Id, (RunId, Vec<String>)>,
    inboxes: HashMap<RunId, (Id, Arc<Notify>)>,
    /// How many runs of each scope that has a limit are at work.
    at_work: HashMap<String, usize>,
}

impl Executors {
    pub fn spawn<C: Clone + Send + Sync + 'static>(
        &mut self,
        shared: &Arc<Shared<C>>,
        run: ClaimedRun,
        now: Time,
        asked: Instant,
        lost: &CancellationToken,
    ) {
        let id = run.facts.run;
        let limited: Vec<String> = run.facts.scopes.iter().filter(|scope| shared.options.limit(scope).is_some()).cloned().collect();
        let inbox = Arc::new(Notify::new());
        let Some(executor) = Executor::new(shared.clone(), run, now, asked, lost.clone(), inbox.clone()) else {
            tracing::error!(run = %id, "claimed a run of a definition that this binary does not know");
            return;
        };
        for scope in &limited {
            *self.at_work.entry(scope.clone()).or_default() += 1;
        }
        let task = self.set.spawn(executor.execute()).id();
        shared.commits.expect(self.set.len());
        self.by_task.insert(task, (id, limited));
        self.inboxes.insert(id, (task, inbox));
    }

    /// The scopes of which this worker has as many runs as it may.
    pub fn saturated(&self, options: &Options) -> Vec<String> {
        let full = |scope: &&String| self.left(options, scope) == 0;
        self.at_work.keys().filter(full).cloned().collect()
    }

    /// How many runs a claim may bring, so that no scope that is not saturated gets more than it may, even if all are of one.
    pub fn room(&self, options: &Options) -> usize {
        let open = self.at_work.keys().map(|scope| self.left(options, scope)).filter(|left| *left > 0);
        let unseen = options.limits.values().map(|limit| (*limit).max(1));
        open.chain(unseen).fold(options.concurrency - self.set.len(), usize::min)
    }

    fn left(&self, options: &Options, scope: &str) -> usize {
        let at_work = self.at_work.get(scope).copied().unwrap_or_default();
        options.limit(scope).map_or(usize::MAX, |limit| limit.saturating_sub(at_work))
    }

    pub fn notify(&self, runs: &[RunId]) {
        for (_, inbox) in runs.iter().filter_map(|run| self.inboxes.get(run)) {
            inbox.notify_one();
        }
    }

    /// False if the executor itself failed: its run would stay owned, and nobody would work on it.
    pub fn ended(&mut self, ended: &Result<(Id, ()), JoinError>) -> bool {
        let task = match ended {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        if let Some((run, scopes)) = self.by_task.remove(&task) {
            // The run may have been claimed again meanwhile.
            if self.inboxes.get(&run).is_some_and(|(of, _)| *of == task) {
                self.inboxes.remove(&run);
            }
            for scope in scopes {
                if let Some(runs) = self.at_work.get_mut(&scope) {
                    *runs -= 1;
                    if *runs == 0 {
                        self.at_work.remove(&scope);
                    }
                }
            }
        }
        if let Err(error) = ended {
            tracing::error!(%error, "an executor failed; its worker registers anew");
        }
        ended.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at_work(runs: &[(&str, usize)]) -> Executors {
        Executors { at_work: runs.iter().map(|(scope, runs)| ((*scope).to_owned(), *runs)).collect(), ..Executors::default() }
    }

    #[test]
    fn a_claim_brings_no_scope_over_its_limit_even_if_all_it_brings_is_of_one() {
        let options = Options { concurrency: 10, limits: BTreeMap::from([("account".to_owned(), 3)]), ..Options::default() };
        assert_eq!(at_work(&[]).room(&options), 3, "of an account that it has no run of it may bring three");
        let one_left = at_work(&[("account:a", 2), ("account:b", 1)]);
        assert_eq!((one_left.room(&options), one_left.saturated(&options)), (1, vec![]));
        let full = at_work(&[("account:a", 3), ("account:b", 1)]);
        assert_eq!((full.room(&options), full.saturated(&options)), (2, vec!["account:a".to_owned()]));
        let unlimited = Options { concurrency: 10, ..Options::default() };
        assert_eq!(at_work(&[]).room(&unlimited), 10);
    }
}
