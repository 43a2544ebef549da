//! How a run of each saga is asked for, and the same once more: by what name it goes decides. A saga that stands nowhere
//! here cannot be drilled, and so fails the matrix.

use domain::berth::Reply;
use domain::change::Subject;
use domain::housekeeping::{GIVEN_UP_RESTS, start_purges};
use domain::model::{FreezeMode, FreezeSource, TenancyModel, WorkspaceStatus};
use domain::permissions::{Cause, Filter, Object, Precondition, Relationship, Update};
use domain::ports::{Deletions as _, IfMatch};
use domain::steps::input::CreateWorkspaceInput;
use domain::workspaces::status;
use domain::{accounts, workspaces};
use saga::ports::OnFailure;
use saga::{Definition, RunId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::stage::Stage;

/// What a caller asks for when a run of the saga is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    Workspace,
    /// Of a workspace that is there.
    Freeze,
    /// Of a workspace that is there and was deleted.
    Purge,
}

impl Kind {
    pub fn of(definition: &Definition) -> Result<Self, String> {
        match definition.id.name.as_str() {
            accounts::SAGA => Ok(Self::Account),
            // What is drilled besides begins as the creation of a workspace does.
            workspaces::create::SAGA | "drill-after-pivot" | "drill-forward-only" => Ok(Self::Workspace),
            status::SAGA => Ok(Self::Freeze),
            workspaces::delete::SAGA => Ok(Self::Purge),
            other => Err(format!("nobody knows how a run of {other} is asked for: say it in testkit/src/drill/asking.rs")),
        }
    }
}

/// A run that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub run: RunId,
    /// Every id that the run is about, by its place; also those that only its workspace's first run knew.
    pub ids: Value,
    pub subject: Subject,
}

/// What has to be there before a run can be asked for.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    kind: Kind,
    /// The workspace that it will be about.
    workspace: Option<There>,
}

/// A workspace that a clean run has made.
#[derive(Debug, Clone)]
struct There {
    made_by: RunId,
    made_with: CreateWorkspaceInput,
    /// Of somebody who was added since.
    member: Uuid,
}

impl Stage {
    /// All that goes before a run of the drilled saga; what the run itself makes is told from here on.
    pub(super) async fn ready(&self) -> Result<Ready, String> {
        let kind = Kind::of(&self.definition)?;
        if matches!(kind, Kind::Account | Kind::Workspace) {
            return Ok(Ready { kind, workspace: None });
        }
        if kind == Kind::Purge {
            self.finish_purges().await?;
        }
        let made = self.ask_for_new(Kind::Workspace, self.fresh_name()).await?;
        self.run_clean(&made).await?;
        let input = self.detail(made.run).await?.run.input;
        let made_with = serde_json::from_value(input).map_err(|e| e.to_string())?;
        let there = There { made_by: made.run, made_with, member: Uuid::now_v7() };
        if kind == Kind::Purge {
            // With members that no run granted.
            let workspace = Object::workspace(there.made_with.workspace_id);
            let viewer = Relationship::new(workspace, "viewer", Object::new("user", there.member));
            let seal = Filter {
                resource_kind: viewer.resource.kind.clone(),
                resource_id: Some(viewer.resource.id.clone()),
                relation: Some("sealed".to_owned()),
                subject: Some(Object::new("saga", there.made_by)),
            };
            let unless_purged = [Precondition::MustNotMatch(seal)];
            self.permissions.write(&[Update::Touch(viewer)], &unless_purged, &Cause::Hand("drill")).await.map_err(|e| e.to_string())?;
            let deleted = self.delete(&there).await?;
            self.run_clean(&deleted).await?;
        }
        Ok(Ready { kind, workspace: Some(there) })
    }

    /// Asks for a run of the drilled saga, as a caller would.
    pub(super) async fn ask(&self, ready: &Ready) -> Result<Asked, String> {
        match (ready.kind, &ready.workspace) {
            (Kind::Freeze, Some(there)) => self.set_freeze(there, FreezeSource::AccountAdmin, true).await,
            (Kind::Purge, Some(there)) => self.purge(there).await,
            (kind, _) => self.ask_for_new(kind, self.fresh_name()).await,
        }
    }

    /// The same request again, or the one that it leaves room for: what was frozen is opened, the name of what was purged
    /// is taken anew.
    pub(super) async fn repeat(&self, ready: &Ready, asked: &Asked) -> Result<Asked, String> {
        if let (Kind::Freeze, Some(there)) = (ready.kind, &ready.workspace) {
            return self.set_freeze(there, FreezeSource::AccountAdmin, false).await;
        }
        let name = asked.ids.get("name").and_then(Value::as_str).ok_or("the run was asked for by a name")?;
        let kind = if ready.kind == Kind::Account { Kind::Account } else { Kind::Workspace };
        self.ask_for_new(kind, name.to_owned()).await
    }

    /// The set of the workspace's freezes moves, and is what it was before.
    pub(super) async fn move_freezes(&self, ready: &Ready) -> Result<(), String> {
        let there = ready.workspace.as_ref().ok_or("only the freezes of a workspace that is there can move")?;
        self.set_freeze(there, FreezeSource::AccountAdmin, false).await?;
        self.set_freeze(there, FreezeSource::AccountAdmin, true).await.map(drop)
    }

    pub(super) async fn ask_for_new(&self, kind: Kind, name: String) -> Result<Asked, String> {
        if kind == Kind::Account {
            let Reply::Fresh(accepted) = accounts::create(&self.berth, &self.caller, name, None).await.map_err(|e| e.to_string())? else {
                return Err("a first request is not a replay".to_owned());
            };
            return self.asked(accepted.run_id, Subject::Account(accepted.account_id)).await;
        }
        let request = workspaces::create::Request {
            account_id: self.account,
            name,
            region: "local".to_owned(),
            slug: None,
            tenancy_model: TenancyModel::Shared,
            on_failure: OnFailure::Rollback,
            labels: domain::labels::Labels::new(),
            termination_protection: false,
        };
        let Reply::Fresh(accepted) =
            workspaces::create::create(&self.berth, &self.caller, request, None).await.map_err(|e| e.to_string())?
        else {
            return Err("a first request is not a replay".to_owned());
        };
        self.asked(accepted.run_id, Subject::Workspace(accepted.workspace_id)).await
    }

    async fn asked(&self, run: RunId, subject: Subject) -> Result<Asked, String> {
        Ok(Asked { run, ids: self.detail(run).await?.run.input, subject })
    }
}

impl There {
    fn asked(&self, run: RunId) -> Asked {
        let mut ids = json!(self.made_with);
        (ids["made_by"], ids["member"]) = (json!(self.made_by), json!(self.member));
        Asked { run, ids, subject: Subject::Workspace(self.made_with.workspace_id) }
    }
}

// ---- Freezes -------------------------------------------------------------------------------------------------------

impl Stage {
    async fn set_freeze(&self, there: &There, source: FreezeSource, frozen: bool) -> Result<Asked, String> {
        Ok(there.asked(self.freeze(there.made_with.workspace_id, source, frozen).await?))
    }

    /// As `PATCH status` does: sets the freeze of this source, or lifts it. Answers with the run that carries it out.
    pub(super) async fn freeze(&self, workspace: Uuid, source: FreezeSource, frozen: bool) -> Result<RunId, String> {
        let request = status::Request {
            wanted: if frozen { status::Wanted::Frozen } else { status::Wanted::Active },
            source: frozen.then_some(source),
            sources: (!frozen).then(|| vec![source]),
            mode: frozen.then_some(FreezeMode::Blocked),
            reason: frozen.then(|| ("drill".to_owned(), None)),
            expires_at: None,
        };
        let view = status::change(&self.berth, &self.caller, workspace, request, None).await;
        view.map_err(|e| e.to_string())?.run.ok_or_else(|| "a set that has moved has a run to carry it out".to_owned())
    }
}

// ---- Purges: nobody asks for one, it falls due ---------------------------------------------------------------------

impl Stage {
    async fn delete(&self, there: &There) -> Result<Asked, String> {
        let workspace = there.made_with.workspace_id;
        let ended = workspaces::delete::delete(&self.berth, &self.caller, workspace, Some(IfMatch::Any)).await;
        let run = ended.map_err(|e| e.to_string())?.apply.ok_or("what is deleted is shut by a run")?;
        Ok(there.asked(run))
    }

    async fn purge(&self, there: &There) -> Result<Asked, String> {
        self.test.db.advance(self.berth.settings.purge_after);
        self.keep_house().await?;
        self.purge_of(there.made_with.workspace_id).await.map(|run| there.asked(run))
    }

    /// What an earlier drill has left half-way, because its last step was skipped, is begun again and carried through.
    async fn finish_purges(&self) -> Result<(), String> {
        self.test.db.advance(GIVEN_UP_RESTS);
        let left = self.store.to_purge(100, GIVEN_UP_RESTS).await.map_err(|e| e.to_string())?.due;
        self.keep_house().await?;
        for workspace in left {
            let run = self.purge_of(workspace.id).await?;
            self.run_clean(&Asked { run, ids: Value::Null, subject: Subject::Workspace(workspace.id) }).await?;
        }
        Ok(())
    }

    async fn keep_house(&self) -> Result<(), String> {
        let done = start_purges(&self.berth).await.map_err(|e| e.to_string())?;
        if done.trouble.is_empty() { Ok(()) } else { Err(format!("purges could not be begun: {:?}", done.trouble)) }
    }

    /// The run that has begun to purge the workspace.
    async fn purge_of(&self, workspace: Uuid) -> Result<RunId, String> {
        let row = self.berth.workspaces.get(workspace).await.map_err(|e| e.to_string())?.ok_or("a workspace's row stays")?;
        match row.status {
            WorkspaceStatus::Purging => Ok(row.run_id),
            other => Err(format!("its time is over, and it is {other:?}")),
        }
    }
}
