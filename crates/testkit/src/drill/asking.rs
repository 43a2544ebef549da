//! How a run of each saga is asked for, and the same once more: by what name it goes decides. A saga that stands nowhere
//! here cannot be drilled, and so fails the matrix.

use domain::berth::Reply;
use domain::change::Subject;
use domain::ids::{self, bucket};
use domain::model::{FreezeMode, FreezeSource, TenancyModel};
use domain::permissions::{Cause, Filter, Object, Precondition, Relationship, Update};
use domain::steps::input::{CreateWorkspaceInput, PurgeWorkspaceInput};
use domain::workspaces::status;
use domain::{accounts, workspaces};
use saga::ports::OnFailure;
use saga::{Definition, RunId};
use serde_json::{Value, json};
use store::db::Statement;
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
            "purge-workspace" => Ok(Self::Purge),
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
        let made = self.ask_for_new(Kind::Workspace, self.fresh_name()).await?;
        self.run_clean(&made).await?;
        let input = self.detail(made.run).await?.run.input;
        let made_with = serde_json::from_value(input).map_err(|e| e.to_string())?;
        let there = There { made_by: made.run, made_with, member: Uuid::now_v7() };
        if kind == Kind::Purge {
            // With members that no run granted, and shut, as a deleted one is.
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
            let frozen = self.set_freeze(&there, FreezeSource::Platform, true).await?;
            self.run_clean(&frozen).await?;
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
        let request = status::Request {
            wanted: if frozen { status::Wanted::Frozen } else { status::Wanted::Active },
            source: frozen.then_some(source),
            sources: (!frozen).then(|| vec![source]),
            mode: frozen.then_some(FreezeMode::Blocked),
            reason: frozen.then(|| ("drill".to_owned(), None)),
            expires_at: None,
        };
        let view = status::change(&self.berth, &self.caller, there.made_with.workspace_id, request, None).await;
        let run = view.map_err(|e| e.to_string())?.run.ok_or("a set that has moved has a run to carry it out")?;
        Ok(there.asked(run))
    }
}

// ---- Purges: nobody asks for one, it falls due ---------------------------------------------------------------------

static PURGING: Statement = Statement::shared("drill purging", "update workspaces set status = 'purging' where bucket = $1 and id = $2");
static BEGIN: Statement = Statement::shared(
    "drill begin",
    "insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, input, on_failure, exclusive,
       trace, created_by_kind, created_by_id, created_at, updated_at, version, state, done, total, terminal, epoch, requested, turn, due_at,
       parked)
     select bucket, $2, account_id, workspace_id, $3, $4, $5, $6, on_failure, true, trace, created_by_kind, created_by_id, $7, $7, 1,
       'pending', 0, $8, false, 0, false, 0, $7, false
     from provisioning_runs where bucket = $1 and id = $9",
);

impl Stage {
    async fn purge(&self, there: &There) -> Result<Asked, String> {
        let (workspace, account, definition) = (there.made_with.workspace_id, there.made_with.account_id, &self.definition);
        let run = RunId(ids::within(account, Uuid::now_v7()));
        let change = async {
            let mut tx = self.test.db.write().await?;
            let now = tx.now().await?;
            tx.query(&PURGING).bind(bucket(workspace)).bind(workspace).execute().await?;
            tx.query(&BEGIN)
                .bind(bucket(account))
                .bind(run.0)
                .bind(definition.id.name.as_str())
                .bind(i64::from(definition.id.version))
                .bind(definition.id.digest.as_str())
                .bind(json!(PurgeWorkspaceInput::of(there.made_by, there.made_with.clone())))
                .bind(now)
                .bind(i64::try_from(definition.steps.len()).unwrap_or(i64::MAX))
                .bind(there.made_by.0)
                .execute()
                .await?;
            tx.commit().await
        };
        change.await.map_err(|e: store::db::Error| format!("{e:?}"))?;
        Ok(there.asked(run))
    }
}
