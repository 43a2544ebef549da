//! Which verbs a run takes now: what its journal rules out is refused at once, with a sentence that says what is possible.
//!
//! The owner of the run decides again when it journals the verb; what is let through here may still come too late.

use saga::definition::Pivot;
use saga::journal::Ending;
use saga::machine::{Phase, UndoPhase, fold};
use saga::ports::State;
use saga::{Definition, RunState, Verb};

use crate::model::{ProvisioningRun, RunDetail};
use crate::{Berth, Error};

/// The verbs that a request may carry; parking is a freeze's.
pub(crate) const VERBS: [Verb; 4] = [Verb::Cancel, Verb::Retry, Verb::Skip, Verb::Abandon];

/// A verb as it stands in paths, audit actions and sentences.
pub(crate) fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Cancel => "cancel",
        Verb::Retry => "retry",
        Verb::Skip => "skip",
        Verb::Abandon => "abandon",
        Verb::Park => "park",
        Verb::Unpark => "unpark",
    }
}

/// Verbs that need `platform#administer`, and a comment: they leave something undone that a person answers for.
pub(crate) fn is_operators(verb: Verb) -> bool {
    matches!(verb, Verb::Skip | Verb::Abandon)
}

/// How a verb that is not ruled out is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permitted {
    /// Handed to the run's owner; `step` is filled in where only one can be meant.
    Request { step: Option<String> },
    /// The run has ended: another one takes its place.
    NewRun,
}

/// A run with the state that its journal tells, where this process knows its definition.
pub(crate) struct Folded<'a> {
    run: &'a ProvisioningRun,
    definition: Option<&'a Definition>,
    /// Of a run that has not ended: of one that has, its row says all.
    known: Option<(&'a Definition, RunState)>,
}

impl<'a> Folded<'a> {
    pub fn of(berth: &'a Berth, detail: &'a RunDetail) -> Self {
        Self::with(detail, berth.sagas.get(&detail.run.definition).map(|saga| &*saga.definition))
    }

    pub fn with(detail: &'a RunDetail, definition: Option<&'a Definition>) -> Self {
        let run = &detail.run;
        let live = definition.filter(|_| run.ending.is_none());
        let known = live.map(|d| (d, fold(d, run.created_at, run.on_failure, &detail.journal)));
        Self { run, definition, known }
    }

    /// The verbs that are not ruled out.
    pub fn possible(&self) -> Vec<Verb> {
        VERBS.into_iter().filter(|verb| self.why_not(*verb).is_none()).collect()
    }

    /// # Errors
    /// [`Error::VerbConflict`] if the journal rules the verb out, [`Error::Invalid`] for a step that cannot be meant.
    pub fn permit(&self, verb: Verb, step: Option<&str>) -> Result<Permitted, Error> {
        if let (Some(step), Some(definition)) = (step, self.definition)
            && definition.position(step).is_none()
        {
            let names = list(definition.steps.iter().map(|s| s.name.as_str()));
            return Err(Error::invalid("/step", format!("The saga has no such step; its steps are {names}.")));
        }
        if let Some(why) = self.why_not(verb) {
            return Err(self.conflict(&why));
        }
        if self.run.ending.is_some() {
            return match step {
                Some(_) => Err(Error::invalid("/step", "A retried run begins at its first step. Leave `step` out.")),
                None => Ok(Permitted::NewRun),
            };
        }
        match (verb, step) {
            (Verb::Skip, _) => self.skip(step),
            (Verb::Retry, Some(step)) if self.known.as_ref().is_some_and(|(d, s)| !retriable(d, s).contains(&step)) => {
                Err(self.conflict(&format!("Step `{step}` waits neither for a retry nor for a person.")))
            }
            _ => Ok(Permitted::Request { step: step.map(str::to_owned) }),
        }
    }

    fn skip(&self, step: Option<&str>) -> Result<Permitted, Error> {
        let Some((definition, state)) = &self.known else {
            return match step {
                Some(step) => Ok(Permitted::Request { step: Some(step.to_owned()) }),
                None => Err(Error::invalid("/step", "This process does not know the run's definition. Name the stuck step.")),
            };
        };
        let stuck: Vec<&str> = state.stuck_steps(definition).into_iter().map(|i| definition.steps[i].name.as_str()).collect();
        match (step, stuck.as_slice()) {
            (Some(step), stuck) if stuck.contains(&step) => Ok(Permitted::Request { step: Some(step.to_owned()) }),
            (Some(step), stuck) => Err(self.conflict(&format!("Step `{step}` is not stuck; stuck are {}.", list(stuck.iter().copied())))),
            (None, [only]) => Ok(Permitted::Request { step: Some((*only).to_owned()) }),
            (None, stuck) => {
                Err(Error::invalid("/step", format!("Several steps are stuck: {}. Name the one to skip.", list(stuck.iter().copied()))))
            }
        }
    }

    fn conflict(&self, why: &str) -> Error {
        let possible = self.possible();
        let possible = if possible.is_empty() { "nothing".to_owned() } else { list(possible.into_iter().map(word)) };
        Error::VerbConflict { detail: format!("{why} Its state is `{}`; possible now: {possible}.", state_word(self.run.state)) }
    }

    /// Why the journal rules `verb` out, whatever step is meant; `None` if it does not.
    fn why_not(&self, verb: Verb) -> Option<String> {
        let no = |why: &str| Some(why.to_owned());
        if let Some(ending) = self.run.ending {
            return match (verb, ending) {
                (Verb::Retry, Ending::Failed | Ending::Cancelled) => {
                    self.run.retried_by.map(|by| format!("It was retried already, as run {by}."))
                }
                (Verb::Retry, Ending::Succeeded) => no("It has succeeded, so that there is nothing to retry."),
                (Verb::Retry, Ending::Abandoned) => no("It was abandoned with leftovers, and cannot be made again in their place."),
                _ => Some(format!("It has ended, so that there is nothing to {}.", word(verb))),
            };
        }
        let (definition, state) = self.known.as_ref()?;
        if state.abandon_requested {
            return no("It is being abandoned.");
        }
        match verb {
            Verb::Cancel => why_not_cancel(definition, state),
            Verb::Retry if retriable(definition, state).is_empty() => no("None of its steps waits for a retry or for a person."),
            Verb::Skip if state.stuck_steps(definition).is_empty() => no("None of its steps is stuck."),
            Verb::Retry | Verb::Skip | Verb::Abandon => None,
            Verb::Park | Verb::Unpark => no("Only a freeze parks runs."),
        }
    }
}

fn why_not_cancel(definition: &Definition, state: &RunState) -> Option<String> {
    let pivot = || match definition.pivot {
        Pivot::Step(index) => format!("`{}`", definition.steps[index].name),
        Pivot::Start | Pivot::None => "its start".to_owned(),
    };
    if state.turned.is_some() {
        Some("It has left the forward path already, and is being undone.".to_owned())
    } else if state.past_pivot(definition) {
        Some(format!("It has passed its pivot, {}, and only goes forward.", pivot()))
    } else if state.pivot_undecided(definition) {
        Some(format!("Its pivot, {}, has begun, and may have happened.", pivot()))
    } else if state.cancel_requested {
        Some("It is being cancelled already.".to_owned())
    } else {
        None
    }
}

/// Steps that `retry` lets try again: forward ones until the run has turned, undos after that.
fn retriable<'a>(definition: &'a Definition, state: &RunState) -> Vec<&'a str> {
    let forward = state.turned.is_none();
    let steps = definition.steps.iter().zip(&state.steps).filter(|(_, step)| {
        (forward && matches!(step.phase, Phase::Waiting { .. } | Phase::Failed { .. }))
            || matches!(step.undo.phase, UndoPhase::Waiting { .. } | UndoPhase::Stuck)
    });
    steps.map(|(definition, _)| definition.name.as_str()).collect()
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Running => "running",
        State::Waiting => "waiting",
        State::Compensating => "compensating",
        State::Stuck => "stuck",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
        State::Abandoned => "abandoned",
    }
}

#[cfg(test)]
mod tests;
