//! A workspace that is frozen while its run is at work, on the real engine: the run parks at its next step boundary, time
//! stands still for it, and it goes on when the freeze is lifted.

use std::sync::Arc;
use std::time::Duration;

use domain::change::Subject;
use domain::model::FreezeSource;
use domain::pauses::{self, Kind, Scope};
use domain::workspaces::status;
use saga::ports::{State, WaitingFor};
use saga::{Definition, Event, Record, RunId, Verb};
use uuid::Uuid;

use super::asking::Asked;
use super::cases::{LEASE, Scene};
use super::control::{Act, Control};
use super::stage::{Engine, PATIENCE, Stage};

/// Longer than the deadline that a drilled saga has.
const DAYS: Duration = Duration::from_hours(49);

/// What becomes of the worker that has an attempt open when the freeze comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It learns of the freeze from the commit that would begin the next step.
    FromItsCommit,
    /// It is killed before it hears anything: the next one finds the attempt, and the freeze.
    Never,
}

/// The run that owns the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    First,
    /// The one that was asked for when the first had failed.
    Retried,
}

/// Starts of forward attempts.
fn starts(journal: &[Record]) -> usize {
    journal.iter().filter(|record| matches!(record.event, Event::StepStarted { .. })).count()
}

fn is_request(event: &Event, wanted: Verb) -> bool {
    matches!(event, Event::Requested { verb, .. } if *verb == wanted)
}

fn workspace_of(asked: &Asked) -> Result<Uuid, String> {
    match asked.subject {
        Subject::Workspace(id) => Ok(id),
        Subject::Account(_) => Err("only workspaces are frozen".to_owned()),
    }
}

impl Stage {
    /// Freezes while `step` is at work. No step begins from then on, and no deadline passes, whatever becomes of workers and
    /// for how many days; unfrozen, the run makes what it was to make.
    ///
    /// # Errors
    /// What is not as it must be, with the run's journal.
    pub async fn frozen_at(&self, step: &str, owner: Owner, heard: Heard) -> Result<(), String> {
        let ready = self.ready().await?;
        let before = self.look().await;
        let asked = self.ask(&ready).await?;
        let mut scene = Scene { ready, before, asked };
        if owner == Owner::Retried {
            self.fail(&scene).await?;
            scene.asked = self.retry(&scene).await?;
        }
        let done = self.parked_and_unparked(&scene, step, heard).await;
        match done {
            Ok(()) => Ok(()),
            Err(why) => Err(format!("{step}, {owner:?}, {heard:?}: {why}\n{}", self.story(scene.asked.run).await)),
        }
    }

    /// The scene's run fails, and takes back all that it made.
    async fn fail(&self, scene: &Scene) -> Result<(), String> {
        let last = self.definition.steps.len() - 1;
        let control = Control::new(scene.asked.run, vec![self.planned(last, false, 1..=u32::MAX, Act::FailForGood)], None);
        let engine = self.start(&control, |_| {}, LEASE);
        let state = self.ended(&control).await?;
        engine.kill().await;
        if state == State::Failed { Ok(()) } else { Err(format!("ended {state:?}, not Failed")) }
    }

    async fn parked_and_unparked(&self, scene: &Scene, step: &str, heard: Heard) -> Result<(), String> {
        let (run, workspace) = (scene.asked.run, workspace_of(&scene.asked)?);
        let step = self.definition.position(step).ok_or("there is no such step")?;
        let control = Control::new(run, vec![self.planned(step, false, 1..=1, Act::Gate)], None);
        let mut engine = self.start(&control, |_| {}, LEASE);
        self.reached(&control).await?;
        // In another process, so that nobody tells the owner of it: it renews its lease no more often than once in an hour.
        self.wake_nobody();
        self.freeze(workspace, FreezeSource::AccountAdmin, true).await?;
        // From here on nothing may begin.
        let frozen = self.detail(run).await?;
        if frozen.pending_verbs != [Verb::Park] {
            return Err(format!("the owner has heard of the freeze before it was to: {:?} wait for it", frozen.pending_verbs));
        }
        let mut control = control;
        match heard {
            Heard::FromItsCommit => control.gate.cancel(),
            Heard::Never => {
                engine.kill().await;
                self.test.db.advance(LEASE + Duration::from_secs(1));
                (control, engine) = self.another(run);
            }
        }
        self.parks(&control).await?;
        engine.kill().await;

        // A worker finds it parked when its deadline has passed, and is killed; so does the next.
        for _ in 0..2 {
            self.test.db.advance(DAYS);
            (control, engine) = self.another(run);
            self.request(scene, Verb::Park).await?;
            engine.wake();
            self.seen(&control, "the request's record", |p| (p.requests >= 1).then_some(())).await?;
            self.parks(&control).await?;
            engine.kill().await;
        }
        let parked = self.detail(run).await?;
        if starts(&parked.journal) != starts(&frozen.journal) {
            return Err("a step began after the freeze was answered".to_owned());
        }
        if parked.run.turn.is_some() || parked.run.waiting_for != Some(WaitingFor::Unfreeze) {
            return Err(format!("it is {:?}, turned by {:?}", parked.run.state, parked.run.turn));
        }

        self.test.db.advance(LEASE + Duration::from_secs(1));
        (control, engine) = self.another(run);
        self.freeze(workspace, FreezeSource::AccountAdmin, false).await?;
        engine.wake();
        let state = self.ended(&control).await?;
        self.carried_out(workspace).await?;
        engine.kill().await;
        // A backend that was made since has none that was ordered about.
        if let Some(shut) = self.logins(workspace).iter().find(|login| login.contains(" open=false ")) {
            return Err(format!("what is unfrozen is to be open, and there is {shut}"));
        }
        if state != State::Succeeded {
            return Err(format!("ended {state:?}, not Succeeded"));
        }
        let made = self.look().await.since(&scene.before, &scene.asked).without_logins();
        if made.without_revisions() != self.wanted.without_revisions() {
            return Err(format!("the world is not the wanted one:\n{made}it is wanted:\n{}", self.wanted));
        }
        Ok(())
    }

    /// Freezes while an undo of `step` is at work: what is to be taken away is taken away all the same.
    ///
    /// # Errors
    /// As [`Stage::frozen_at`].
    pub async fn frozen_while_undoing(&self, step: &str) -> Result<(), String> {
        let ready = self.ready().await?;
        let before = self.look().await;
        let asked = self.ask(&ready).await?;
        let scene = Scene { ready, before, asked };
        let (run, workspace) = (scene.asked.run, workspace_of(&scene.asked)?);
        let step = self.definition.position(step).ok_or("there is no such step")?;
        let mut plan = self.turning(step);
        plan.push(self.planned(step, true, 1..=1, Act::Gate));
        let control = Control::new(run, plan, None);
        let engine = self.start(&control, |_| {}, LEASE);
        self.reached(&control).await?;
        self.freeze(workspace, FreezeSource::AccountAdmin, true).await?;
        control.gate.cancel();
        let state = self.ended(&control).await?;
        self.carried_out(workspace).await?;
        engine.kill().await;
        let journal = self.detail(run).await?.journal;
        if state != State::Failed || journal.iter().any(|record| is_request(&record.event, Verb::Park)) {
            return Err(format!("ended {state:?}, and was to end Failed without being parked\n{}", self.story(run).await));
        }
        let mut rest = self.look().await.since(&scene.before, &scene.asked);
        let is_freeze = |line: &String| line.starts_with("freeze ");
        if rest.added.extract_if(.., |line| is_freeze(line)).count() != 1 {
            return Err(format!("the freeze is to stay:\n{rest}"));
        }
        let rest = rest.without_failed()?;
        if rest.is_none() { Ok(()) } else { Err(format!("the world is not the one before:\n{rest}")) }
    }

    /// Sets and lifts a freeze as fast as it can be asked for: logins end as the last one says.
    ///
    /// # Errors
    /// As [`Stage::frozen_at`].
    pub async fn frozen_in_quick_succession(&self, changes: &[bool]) -> Result<(), String> {
        let ready = self.ready().await?;
        let asked = self.ask(&ready).await?;
        let workspace = workspace_of(&asked)?;
        self.run_clean(&asked).await?;
        let (_, engine) = self.another(asked.run);
        for frozen in changes {
            self.freeze(workspace, FreezeSource::AccountAdmin, *frozen).await?;
        }
        let last = *changes.last().ok_or("nothing was to be changed")?;
        let revision = self.carried_out(workspace).await?;
        engine.kill().await;
        self.logins_are(workspace, !last, revision)?;
        self.late_copies().await;
        self.logins_are(workspace, !last, revision)
    }

    /// Freezes a workspace while its account, its backend or the saga that carries freezes out is paused: of these only the saga's
    /// own pause leaves logins as they are, until it is lifted.
    ///
    /// # Errors
    /// As [`Stage::frozen_at`].
    pub async fn frozen_while_paused(&self, kind: Kind) -> Result<(), String> {
        let ready = self.ready().await?;
        let asked = self.ask(&ready).await?;
        let workspace = workspace_of(&asked)?;
        self.run_clean(&asked).await?;
        let scope = match kind {
            Kind::Account => Scope::new(kind, self.account),
            Kind::Backend => Scope::new(kind, "local"),
            Kind::Saga => Scope::new(kind, status::SAGA),
        };
        pauses::set(&self.berth, &self.caller, scope.clone(), true, "why").await.map_err(|e| e.to_string())?;
        let carrier = self.freeze(workspace, FreezeSource::AccountAdmin, true).await?;
        let (control, engine) = self.another(carrier);
        let is_held = kind == Kind::Saga;
        if is_held {
            let waits = |p: &super::control::Progress| p.head.as_ref().filter(|h| h.waiting_for == Some(WaitingFor::Operator)).map(|_| ());
            self.seen(&control, "the pause", waits).await?;
            if !self.logins(workspace).is_empty() {
                return Err("a login was ordered about although the saga is paused".to_owned());
            }
        } else {
            let revision = self.carried_out(workspace).await?;
            self.logins_are(workspace, false, revision)?;
        }
        pauses::lift(&self.berth, &self.caller, scope, None).await.map_err(|e| e.to_string())?;
        self.freeze(workspace, FreezeSource::AccountAdmin, false).await?;
        let revision = self.carried_out(workspace).await?;
        engine.kill().await;
        self.logins_are(workspace, true, revision)?;
        let told = self.detail(carrier).await?.journal.iter().any(|record| matches!(record.event, Event::Paused { .. }));
        if told == is_held { Ok(()) } else { Err(format!("its journal tells of a pause: {told}\n{}", self.story(carrier).await)) }
    }

    /// A worker of another process, with eyes on the run and no fault to come.
    fn another(&self, run: RunId) -> (Arc<Control>, Engine) {
        let control = Control::new(run, Vec::new(), None);
        let engine = self.start(&control, |_: &mut Definition| {}, LEASE);
        (control, engine)
    }

    async fn parks(&self, control: &Control) -> Result<(), String> {
        let parked = |p: &super::control::Progress| p.head.as_ref().filter(|h| h.waiting_for == Some(WaitingFor::Unfreeze)).map(|_| ());
        self.seen(control, "the park", parked).await
    }

    /// Revision and state of each of the workspace's logins that was ordered about.
    fn logins(&self, workspace: Uuid) -> Vec<String> {
        let of = format!("for {workspace} ");
        self.backends.objects().into_iter().filter(|line| line.starts_with("login ") && line.contains(&of)).collect()
    }

    /// Waits until the workspace's freezes are carried out. Answers as of which revision.
    async fn carried_out(&self, workspace: Uuid) -> Result<i64, String> {
        let applied = tokio::time::timeout(PATIENCE, async {
            let mut looks = tokio::time::interval(Duration::from_millis(10));
            loop {
                looks.tick().await;
                let row = self.berth.workspaces.get(workspace).await.map_err(|e| e.to_string())?.ok_or("a workspace's row stays")?;
                if row.freeze_applied == row.freeze_revision {
                    return Ok(row.freeze_revision);
                }
            }
        });
        applied.await.map_err(|_| "the freezes were never carried out".to_owned())?
    }

    fn logins_are(&self, workspace: Uuid, open: bool, revision: i64) -> Result<(), String> {
        let logins = self.logins(workspace);
        let wanted = format!(" open={open} revision={revision}");
        if logins.len() == 3 && logins.iter().all(|login| login.ends_with(&wanted)) {
            return Ok(());
        }
        Err(format!("three logins are to be{wanted}, and are {logins:#?}"))
    }
}
