//! An executor's commits: planned, sent until their outcome is known, and planned again without the change that the
//! database refuses, or that no longer fits what is there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::super::attempt::Drawn;
use super::super::plan::{News, Plan, Unmade, plan};
use super::{Executor, Lost};
use crate::machine::{Gate, Launch};
use crate::ports::{Commit, CommitAnswer, Disposition, Pause, State, StoreError};
use crate::{Event, Record, Time};

/// A plan that is durable.
pub(super) struct Made<C> {
    pub plan: Plan<C>,
    pub disposition: Disposition,
    /// The places that its launches have, by step.
    pub drawn: HashMap<usize, Drawn>,
}

/// What became of a commit.
enum Sent {
    Committed {
        requested: bool,
    },
    /// Nothing was changed: a request that is not journaled forbids what it starts.
    Requested,
    /// Nothing was changed, and as it is it can never succeed.
    Unmade(Unmade),
}

impl<C: Clone + Send + Sync + 'static> Executor<C> {
    /// Plans and commits, with the news as they are or, where the store refuses a change, without it.
    pub(super) async fn commit(&mut self, mut news: Vec<News<C>>, draining: bool) -> Result<Option<Made<C>>, Lost> {
        loop {
            let now = self.clock.now();
            let (run, shared) = (self.facts.run, self.shared.clone());
            let jitter = &*shared.options.jitter;
            let pauses = self.pauses.borrow_and_update().clone();
            let (mut plan, drawn) = self.planned(&news, &pauses, draining, now);
            if let Some(ending) = plan.ended {
                plan.changes.extend((self.saga.on_end)(run, &self.input, ending));
            }
            let has_tasks = self.open.values().any(|o| !(draining && o.given_up));
            let options = &self.shared.options;
            let paused_until = now + options.paused_for.mul_f64(0.5 + jitter());
            let full_until = self.full_since.filter(|since| since.elapsed() >= options.keep_for);
            let full_until = full_until.map(|_| now + options.full_for.mul_f64(0.5 + jitter()));
            let disposition = plan.disposition(has_tasks, draining, now, now + options.keep_for, paused_until, full_until);
            let head = plan.state.head(&self.saga.definition, now);
            let nothing = plan.records.is_empty() && plan.requests.is_empty() && self.head.as_ref() == Some(&head);
            if nothing && disposition == Disposition::Keep {
                return Ok(Some(Made { plan, disposition, drawn }));
            }
            let epoch = self.epoch;
            let records = Arc::new(std::mem::take(&mut plan.records));
            let commit = |resent| Commit {
                run,
                epoch,
                records: records.clone(),
                changes: plan.changes.clone(),
                requests: plan.requests.clone(),
                head: head.clone(),
                disposition,
                resent,
            };
            match self.send(&records, commit).await? {
                Sent::Committed { requested } => {
                    self.log(&records);
                    // The plan keeps what it was before, which nobody asks for.
                    std::mem::swap(&mut self.state, &mut plan.state);
                    self.take_outputs(&records);
                    self.head = Some(head);
                    self.requests = Vec::new();
                    if disposition != Disposition::Keep && self.state.paused.is_some() && self.pauses.has_changed().unwrap_or(true) {
                        // What it waits for may be over since before it could be seen to wait.
                        self.shared.pauses.owe();
                        self.shared.wake.notify_one();
                    }
                    if requested && disposition == Disposition::Keep {
                        // The wait that follows reads them.
                        self.inbox.notify_one();
                    } else if requested {
                        // Released, and due again: somebody claims it.
                        self.shared.wake.notify_one();
                    }
                    return Ok(Some(Made { plan, disposition, drawn }));
                }
                // What was asked for meanwhile may be that nothing starts: it is heard first, and the same news planned anew.
                Sent::Requested => self.hear_in_time().await?,
                Sent::Unmade(unmade) => {
                    match &unmade {
                        Unmade::Refused(why) => tracing::error!(%run, why, "the database refused a commit of this run"),
                        Unmade::Stale(why) => tracing::debug!(%run, why, "a step of this run is to look again"),
                    }
                    if !news.iter().any(News::has_change) {
                        self.show_stuck(now).await?;
                        return Ok(None);
                    }
                    news = news.iter().map(|n| n.without_change(&unmade)).collect();
                }
            }
        }
    }

    /// A map that no attempt looks at any more is not copied.
    fn take_outputs(&mut self, records: &[Record]) {
        for record in records {
            if let Event::StepSucceeded { step, .. } = &record.event
                && let Some(index) = self.saga.definition.position(step)
                && let Some(output) = &self.state.steps[index].output
            {
                Arc::make_mut(&mut self.outputs).insert(step.clone(), output.clone());
            }
        }
    }

    /// What the commit is to hold at `now`, and the places that its launches have: given back where it is not committed.
    fn planned(&self, news: &[News<C>], pauses: &[Pause], draining: bool, now: Time) -> (Plan<C>, HashMap<usize, Drawn>) {
        let (run, shared) = (self.facts.run, &self.shared);
        let drawn: RefCell<HashMap<usize, Drawn>> = RefCell::default();
        // Asked more than once of an attempt.
        let has_place = |step: usize| {
            let limited = self.reach.draws_on(step).and_then(|scope| Some((scope, shared.options.draw_limit(scope)?)));
            let Some((scope, limit)) = limited else { return true };
            let mut drawn = drawn.borrow_mut();
            if !drawn.contains_key(&step) {
                drawn.extend(shared.tasks.draw(scope, limit).map(|place| (step, place)));
            }
            drawn.contains_key(&step)
        };
        let gate = |launch: Launch| match self.reach.gate(pauses, launch) {
            Gate::Open if draining || shared.tasks.is_busy(run, launch.step) => Gate::Busy,
            Gate::Open if !has_place(launch.step) => Gate::Full,
            gate => gate,
        };
        let plan = plan(&self.saga, &self.state, news, &self.requests, (self.epoch, now, &*shared.options.jitter), gate);
        (plan, drawn.into_inner())
    }

    /// Sends one commit of these records until its outcome is known; `commit` is told whether it was sent before and may have landed.
    async fn send(&mut self, records: &[Record], commit: impl Fn(bool) -> Commit<C>) -> Result<Sent, Lost> {
        let (mut pause, mut resent) = (Duration::from_millis(20), false);
        loop {
            if self.lost.is_cancelled() {
                return Err(Lost);
            }
            let error = match self.shared.commits.commit(commit(resent)).await {
                CommitAnswer::Committed { now, requested } => {
                    self.clock.learn(now);
                    return Ok(Sent::Committed { requested });
                }
                CommitAnswer::Fenced => return Err(Lost),
                CommitAnswer::Rejected(why) | CommitAnswer::Failed(StoreError::Broken(why)) => {
                    return Ok(Sent::Unmade(Unmade::Refused(why)));
                }
                CommitAnswer::Stale(why) => return Ok(Sent::Unmade(Unmade::Stale(why))),
                CommitAnswer::Requested => return Ok(Sent::Requested),
                CommitAnswer::Failed(error) => error,
            };
            tracing::warn!(run = %self.facts.run, %error, "a commit failed; trying again");
            if matches!(error, StoreError::Unknown(_)) && !records.is_empty() {
                match self.shared.runs.journal(self.facts.run, self.epoch).await {
                    Ok(Some(journal)) if records.iter().all(|r| journal.contains(r)) => {
                        return Ok(Sent::Committed { requested: true });
                    }
                    Ok(None) => return Err(Lost),
                    // Finding nothing is no proof: it may land yet. It is sent again, as what it is.
                    Ok(Some(_)) | Err(_) => {}
                }
                resent = true;
            }
            tokio::select! {
                () = self.lost.cancelled() => return Err(Lost),
                () = sleep(pause.mul_f64(0.5 + (self.shared.options.jitter)())) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Reads the requests that the store would not let be passed over.
    async fn hear_in_time(&mut self) -> Result<(), Lost> {
        let mut pause = Duration::from_millis(20);
        loop {
            match self.shared.runs.requests(self.facts.run).await {
                Ok(requests) => {
                    self.requests = requests;
                    return Ok(());
                }
                Err(error) => tracing::warn!(run = %self.facts.run, %error, "cannot read requests; trying again"),
            }
            tokio::select! {
                () = self.lost.cancelled() => return Err(Lost),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// A commit that can never succeed must not be silent: the row says so, and the run is tried again later.
    async fn show_stuck(&mut self, now: Time) -> Result<(), Lost> {
        let mut head = self.state.head(&self.saga.definition, now);
        head.state = State::Stuck;
        let disposition = Disposition::Release { due_at: Some(now + Duration::from_mins(1)) };
        let (run, epoch) = (self.facts.run, self.epoch);
        let commit = |resent| Commit {
            run,
            epoch,
            records: Arc::default(),
            changes: Vec::new(),
            requests: Vec::new(),
            head: head.clone(),
            disposition,
            resent,
        };
        self.stop_all("The run's transition cannot be stored");
        let _refused_again = self.send(&[], commit).await?;
        Ok(())
    }
}
