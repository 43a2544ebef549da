//! An executor's commits: planned, sent until their outcome is known, and planned again without the change that the
//! database refuses, or that no longer fits what is there.

use std::time::Duration;

use tokio::time::sleep;

use super::super::plan::{News, Plan, Unmade, plan};
use super::{Executor, Lost};
use crate::Time;
use crate::machine::{Gate, Launch};
use crate::ports::{Commit, CommitAnswer, Disposition, State, StoreError};

impl<C: Clone + Send + Sync + 'static> Executor<C> {
    /// Plans and commits, with the news as they are or, where the store refuses a change, without it.
    pub(super) async fn commit(&mut self, news: &[News<C>], draining: bool) -> Result<Option<(Plan<C>, Disposition)>, Lost> {
        let mut news = news.to_vec();
        loop {
            let now = self.clock.now();
            let (run, shared) = (self.facts.run, self.shared.clone());
            let jitter = &*shared.options.jitter;
            let pauses = self.pauses.borrow_and_update().clone();
            let gate = |launch: Launch| match self.reach.gate(&pauses, launch) {
                Gate::Open if draining || shared.tasks.is_busy(run, launch.step) => Gate::Busy,
                gate => gate,
            };
            let mut plan = plan(&self.saga, &self.state, &news, &self.requests, (self.epoch, now, jitter), gate);
            if let Some(ending) = plan.ended {
                plan.changes.extend((self.saga.on_end)(run, &self.input, ending));
            }
            let has_tasks = self.open.values().any(|o| !(draining && o.given_up));
            let options = &self.shared.options;
            let paused_until = now + options.paused_for.mul_f64(0.5 + jitter());
            let disposition = plan.disposition(has_tasks, draining, now, now + options.keep_for, paused_until);
            let head = plan.state.head(&self.saga.definition, now);
            let nothing = plan.records.is_empty() && plan.requests.is_empty() && self.head.as_ref() == Some(&head);
            if nothing && disposition == Disposition::Keep {
                return Ok(Some((plan, disposition)));
            }
            let commit = Commit {
                run,
                epoch: self.epoch,
                records: plan.records.clone(),
                changes: plan.changes.clone(),
                requests: plan.requests.clone(),
                head: head.clone(),
                disposition,
                resent: false,
            };
            match self.send(commit).await? {
                Ok(requested) => {
                    self.log(&plan);
                    self.state = plan.state.clone();
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
                    return Ok(Some((plan, disposition)));
                }
                Err(unmade) => {
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

    /// Sends one commit until its outcome is known. `Ok(Ok(requested))`, or `Ok(Err(_))` where as it is it can never succeed.
    async fn send(&mut self, mut commit: Commit<C>) -> Result<Result<bool, Unmade>, Lost> {
        let mut pause = Duration::from_millis(20);
        loop {
            if self.lost.is_cancelled() {
                return Err(Lost);
            }
            let answer = self.shared.runs.commit(vec![commit.clone()]).await.pop();
            let error = match answer {
                Some(CommitAnswer::Committed { now, requested }) => {
                    self.clock.learn(now);
                    return Ok(Ok(requested));
                }
                Some(CommitAnswer::Fenced) => return Err(Lost),
                Some(CommitAnswer::Rejected(why) | CommitAnswer::Failed(StoreError::Broken(why))) => return Ok(Err(Unmade::Refused(why))),
                Some(CommitAnswer::Stale(why)) => return Ok(Err(Unmade::Stale(why))),
                Some(CommitAnswer::Failed(error)) => error,
                None => StoreError::Unavailable("the store did not answer".to_owned()),
            };
            tracing::warn!(run = %self.facts.run, %error, "a commit failed; trying again");
            if matches!(error, StoreError::Unknown(_)) && !commit.records.is_empty() {
                match self.shared.runs.journal(self.facts.run, self.epoch).await {
                    Ok(Some(journal)) if commit.records.iter().all(|r| journal.contains(r)) => return Ok(Ok(true)),
                    Ok(None) => return Err(Lost),
                    // Finding nothing is no proof: it may land yet. It is sent again, as what it is.
                    Ok(Some(_)) | Err(_) => {}
                }
                commit.resent = true;
            }
            tokio::select! {
                () = self.lost.cancelled() => return Err(Lost),
                () = sleep(pause.mul_f64(0.5 + (self.shared.options.jitter)())) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// A commit that can never succeed must not be silent: the row says so, and the run is tried again later.
    async fn show_stuck(&mut self, now: Time) -> Result<(), Lost> {
        let mut head = self.state.head(&self.saga.definition, now);
        head.state = State::Stuck;
        let disposition = Disposition::Release { due_at: Some(now + Duration::from_mins(1)) };
        let commit = Commit {
            run: self.facts.run,
            epoch: self.epoch,
            records: Vec::new(),
            changes: Vec::new(),
            requests: Vec::new(),
            head,
            disposition,
            resent: false,
        };
        self.stop_all("The run's transition cannot be stored");
        let _refused_again = self.send(commit).await?;
        Ok(())
    }
}
