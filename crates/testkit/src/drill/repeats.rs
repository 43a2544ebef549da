//! Calls that come twice or late, and what people ask of a run.

use domain::audit::Draft;
use domain::berth::Reply;
use domain::ids;
use domain::model::EnvironmentName;
use domain::ports::{NewRequest, NewRun, ProvisioningRuns, RequestAnswer, RetryAnswer, RetryRun, Written};
use domain::steps::input::CreateWorkspaceInput;
use saga::ports::State;
use saga::{Event, RunId, Verb};
use uuid::Uuid;

use super::asking::Asked;
use super::cases::{LEASE, Scene};
use super::control::{Act, Control};
use super::stage::Stage;

impl Stage {
    /// The step, or its undo, does something more than once at its first attempt.
    pub(super) async fn repeated(&self, scene: &Scene, step: usize, undo: bool, act: Act) -> Result<(), String> {
        let mut plan = if undo { self.turning(step) } else { Vec::new() };
        plan.push(self.planned(step, undo, 1..=1, act));
        let control = Control::new(scene.asked.run, plan, None);
        let engine = self.start(&control, |_| {}, LEASE);
        let state = self.ended(&control).await?;
        engine.kill().await;
        control.hit(false)?;
        self.over(scene, state, if undo { State::Failed } else { State::Succeeded }).await
    }

    /// Fails so that `step` is undone, and checks nothing yet.
    async fn undone(&self, scene: &Scene, step: usize) -> Result<std::sync::Arc<Control>, String> {
        let control = Control::new(scene.asked.run, self.turning(step), None);
        let engine = self.start(&control, |_| {}, LEASE);
        let state = self.ended(&control).await?;
        engine.kill().await;
        control.hit(false)?;
        if state == State::Failed { Ok(control) } else { Err(format!("ended {state:?}, not Failed")) }
    }

    pub(super) async fn run_after_undone(&self, scene: &Scene, step: usize) -> Result<(), String> {
        let control = self.undone(scene, step).await?;
        let late = control.copy(&self.definition.steps[step].name, false).ok_or("the step was never started")?;
        self.code(step).run(&late).await;
        self.over(scene, State::Failed, State::Failed).await
    }

    pub(super) async fn late_undo(&self, scene: &Scene, step: usize) -> Result<(), String> {
        let control = self.undone(scene, step).await?;
        let late = control.copy(&self.definition.steps[step].name, true).ok_or("the step was never undone")?;
        let retried = self.retry(scene).await?;
        self.run_clean(&retried).await?;
        let before = self.look().await;
        let made = before.since(&scene.before, &retried);
        if made.without_revisions() != self.wanted.without_revisions() {
            return Err(format!("a retried run does not make the wanted world:\n{made}"));
        }
        self.code(step).undo(&late).await;
        let harm = self.look().await.since(&before, &retried);
        if harm.is_none() { Ok(()) } else { Err(format!("a late undo took from a retried run:\n{harm}")) }?;
        self.same_again(scene, &before, false).await
    }

    /// A new run for the same workspace or account, with new ids for all that it makes.
    pub(super) async fn retry(&self, scene: &Scene) -> Result<Asked, String> {
        let old = self.detail(scene.asked.run).await?.run;
        let mut input = old.input.clone();
        if let Ok(mut typed) = serde_json::from_value::<CreateWorkspaceInput>(input.clone()) {
            for environment in &mut typed.environments {
                environment.id = ids::within(old.account_id, Uuid::now_v7());
                environment.backend_workspace_id = ids::within(old.account_id, Uuid::now_v7());
            }
            debug_assert_eq!(typed.environments.len(), EnvironmentName::ALL.len());
            input = serde_json::to_value(typed).map_err(|e| e.to_string())?;
        }
        let run = NewRun {
            id: RunId(ids::within(old.account_id, Uuid::now_v7())),
            definition: old.definition.clone(),
            account_id: old.account_id,
            workspace_id: old.workspace_id,
            retry_of: Some(old.id),
            exclusive: true,
            input: input.clone(),
            on_failure: old.on_failure,
            total: old.total,
            created_by: old.created_by,
            trace: std::collections::HashMap::new(),
        };
        let id = run.id;
        let audit = Draft::of(&self.caller, &*self.berth.ids, old.account_id, old.workspace_id, "run.retry");
        match self.store.retry(RetryRun { run, audit, idempotency: None }).await {
            Ok(Written::Done(RetryAnswer::Created)) => Ok(Asked { run: id, ids: input, subject: scene.asked.subject }),
            other => Err(format!("a failed run could not be retried: {other:?}")),
        }
    }

    /// What the step read has moved on when its outcome is to be recorded: nothing of it counts, and it looks again.
    pub(super) async fn moved(&self, scene: &Scene, step: usize) -> Result<(), String> {
        let control = Control::new(scene.asked.run, vec![self.planned(step, false, 1..=1, Act::EffectThenGate)], None);
        let engine = self.start(&control, |_| {}, LEASE);
        self.reached(&control).await?;
        self.move_freezes(&scene.ready).await?;
        control.gate.cancel();
        let state = self.ended(&control).await?;
        engine.kill().await;
        control.hit(false)?;
        let detail = self.detail(scene.asked.run).await?;
        let is_stale = |event: &Event| matches!(event, Event::StepFailed { attempt: 1, fault, .. } if fault.r#type == "stale");
        if state != State::Succeeded || !detail.journal.iter().any(|r| is_stale(&r.event)) {
            return Err(format!("ended {state:?}, and the journal is to show that the first attempt was stale"));
        }
        let after = self.look().await;
        let made = after.since(&scene.before, &scene.asked);
        if made.without_revisions() != self.wanted.without_revisions() {
            return Err(format!("the world is not the wanted one:\n{made}"));
        }
        self.same_again(scene, &after, false).await
    }

    /// A verb as it stands in the queue of the run's owner, whoever may ask for it.
    pub(super) async fn request(&self, scene: &Scene, verb: Verb) -> Result<(), String> {
        let run = self.detail(scene.asked.run).await?.run;
        let new = NewRequest {
            id: ids::within(run.account_id, Uuid::now_v7()),
            run: run.id,
            gate: None,
            verb,
            step: None,
            actor: self.caller.principal,
            comment: None,
            audit: Draft::of(&self.caller, &*self.berth.ids, run.account_id, run.workspace_id, "drill"),
            idempotency: None,
        };
        match ProvisioningRuns::request(&self.store, new).await {
            Ok(Written::Done(RequestAnswer::Requested)) => Ok(()),
            other => Err(format!("{verb:?} was not taken: {other:?}")),
        }
    }

    /// `retry` or `skip` of a stuck step, as an operator asks for it.
    pub(super) async fn resolve(&self, scene: &Scene, verb: Verb, step: String) -> Result<(), String> {
        let comment = Some("seen to by hand".to_owned());
        match domain::runs::request(&self.berth, &self.caller, scene.asked.run, verb, Some(step), comment, None).await {
            Ok(Reply::Fresh(_)) => Ok(()),
            other => Err(format!("{verb:?} was not taken: {other:?}")),
        }
    }

    /// A stuck run shows: in its row, among the counts, and in what a person sees of it.
    pub(super) async fn is_seen_stuck(&self, scene: &Scene) -> Result<(), String> {
        let row = self.detail(scene.asked.run).await?.run.state;
        let counts = self.store.counts().await.map_err(|e| e.to_string())?;
        let counted = counts.by_state.iter().any(|(state, n)| *state == State::Stuck && *n == 1);
        let view = domain::runs::get(&self.berth, &self.caller, scene.asked.run).await.map_err(|e| e.to_string())?;
        let definition = &self.definition;
        let viewed =
            view.state.as_ref().is_some_and(|s| s.state(definition, view.now) == State::Stuck && s.stuck_steps(definition).len() == 1);
        if row == State::Stuck && counted && viewed {
            return Ok(());
        }
        Err(format!("stuck, and not seen to be: row {row:?}, counts {counts:?}, view {viewed}"))
    }
}
