//! Creates a workspace: checks what was asked, fixes every id, and records the run that does the rest.

use saga::RunId;
use saga::definition::Undo;
use saga::ports::OnFailure;
use serde_json::json;
use uuid::Uuid;

use crate::access::{Freshness, Ground};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::labels::{self, Labels};
use crate::model::{AccountStatus, EnvironmentName, TenancyModel};
use crate::names::{Name, parse_slug};
use crate::ports::{CreateWorkspace, Idempotency, NewWorkspace, Slug};
use crate::runs::new_run::{NewRunOf, newest};
use crate::steps::input::{CreateWorkspaceInput, EnvironmentInput};
use crate::{Berth, Caller, Error, Invalid};

/// The saga that provisions a workspace.
pub const SAGA: &str = "create-workspace";

/// As the caller asked; nothing is checked yet.
#[derive(Debug, Clone)]
pub struct Request {
    pub account_id: Uuid,
    pub name: String,
    pub region: String,
    pub slug: Option<String>,
    pub tenancy_model: TenancyModel,
    pub on_failure: OnFailure,
    pub labels: Labels,
    pub termination_protection: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub workspace_id: Uuid,
    pub run_id: RunId,
}

/// What a create would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub saga: String,
    pub version: u32,
    pub slug: String,
    pub steps: Vec<PlannedStep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    pub name: String,
    pub stage: u32,
    /// `None`: nothing to undo.
    pub undo: Option<String>,
}

/// What was asked, once it is known to be right.
struct Wanted {
    account_id: Uuid,
    name: Name,
    slug: Slug,
    region: String,
    tenancy_model: TenancyModel,
    on_failure: OnFailure,
    labels: Labels,
    termination_protection: bool,
}

impl Wanted {
    /// All that is wrong is said at once.
    fn parse(berth: &Berth, request: Request) -> Result<Self, Error> {
        let name = Name::parse("/name", &request.name);
        let slug = request.slug.map(|slug| parse_slug("/slug", &slug)).transpose();
        let region = known_region(berth, request.region);
        let labels = labels::parse("/labels", request.labels);
        match (name, slug, region, labels) {
            (Ok(name), Ok(slug), Ok(region), Ok(labels)) => Ok(Self {
                account_id: request.account_id,
                slug: slug.map_or_else(|| Slug::Generated(name.slug("workspace")), Slug::Given),
                name,
                region,
                tenancy_model: request.tenancy_model,
                on_failure: request.on_failure,
                labels,
                termination_protection: request.termination_protection,
            }),
            (name, slug, region, labels) => {
                let invalid = [name.err(), slug.err(), region.err(), labels.err()].into_iter().flatten().flatten().collect();
                Err(Error::Invalid(invalid))
            }
        }
    }
}

fn known_region(berth: &Berth, region: String) -> Result<String, Vec<Invalid>> {
    if berth.settings.regions.iter().any(|known| known.name == region) {
        return Ok(region);
    }
    let known = berth.settings.regions.iter().map(|r| format!("`{}`", r.name)).collect::<Vec<_>>().join(", ");
    Err(vec![Invalid::new("/region", format!("There is no such region here; the regions are {known}."))])
}

/// Accepts a workspace: with the answer its row, its creator's membership and its run are durable.
///
/// # Errors
/// [`Error::Invalid`], `NotFound`/`Forbidden` about the account, the conflicts, a reused key, an outage.
pub async fn create(berth: &Berth, caller: &Caller, request: Request, replay: Option<Replay<Accepted>>) -> Result<Reply<Accepted>, Error> {
    let account = request.account_id;
    create_with(berth, caller, request, |accepted| replay.map(|replay| replay.keep(caller, account, accepted))).await
}

/// As [`create`], with a key of whoever calls this.
pub(super) async fn create_with(
    berth: &Berth,
    caller: &Caller,
    request: Request,
    keep: impl FnOnce(&Accepted) -> Option<Idempotency> + Send,
) -> Result<Reply<Accepted>, Error> {
    let wanted = Wanted::parse(berth, request)?;
    authorize(berth, caller, wanted.account_id).await?;
    let (mut new, accepted) = fix_ids(berth, caller, wanted);
    new.idempotency = keep(&accepted);
    match berth.workspaces.create(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(CreateWorkspace::Created { .. }) => {
            berth.wake.new_run();
            Ok(Reply::Fresh(accepted))
        }
        Reply::Fresh(CreateWorkspace::SlugTaken { slug }) => Err(Error::SlugTaken { slug }),
        Reply::Fresh(CreateWorkspace::QuotaExceeded { max }) => Err(Error::QuotaExceeded { max }),
        Reply::Fresh(CreateWorkspace::AccountNotActive { status }) => Err(not_active(status)),
    }
}

/// Checks permission, quota, slug and region; writes nothing but the audit entry.
///
/// # Errors
/// As [`create`].
pub async fn plan(berth: &Berth, caller: &Caller, request: Request) -> Result<Plan, Error> {
    let wanted = Wanted::parse(berth, request)?;
    authorize(berth, caller, wanted.account_id).await?;
    let Some(room) = berth.workspaces.room(wanted.account_id, &wanted.slug).await? else {
        return Err(not_active(None));
    };
    if room.status != AccountStatus::Active {
        return Err(not_active(Some(room.status)));
    }
    if room.live >= room.max {
        return Err(Error::QuotaExceeded { max: room.max });
    }
    let Some(slug) = room.slug else {
        let (Slug::Given(slug) | Slug::Generated(slug)) = wanted.slug;
        return Err(Error::SlugTaken { slug });
    };
    let entry = Draft::of(caller, &*berth.ids, wanted.account_id, None, "workspace.plan")
        .target("account", wanted.account_id)
        .outcome("succeeded")
        .after(json!({ "name": wanted.name.as_str(), "slug": slug, "region": wanted.region }));
    berth.audit.append(entry).await?;
    let definition = newest(berth, SAGA);
    let steps = definition.steps.iter().map(|step| PlannedStep {
        name: step.name.clone(),
        stage: u32::try_from(step.stage).unwrap_or(u32::MAX),
        undo: match &step.undo {
            Undo::Action(action) => Some(action.clone()),
            Undo::None { .. } => None,
        },
    });
    Ok(Plan { saga: definition.id.name.clone(), version: definition.id.version, slug, steps: steps.collect() })
}

/// Who may not create in an account that is not active, but may see it, learns that it is not active: until it is, nobody
/// holds a right on it.
async fn authorize(berth: &Berth, caller: &Caller, account: Uuid) -> Result<(), Error> {
    let refused = match Ground::active_account(account, None).require_action(berth, caller).await {
        Err(refused @ (Error::NotFound { .. } | Error::Forbidden { .. })) => refused,
        allowed_or_outage => return allowed_or_outage,
    };
    let Some(account) = berth.accounts.get(account).await?.filter(|a| a.status != AccountStatus::Active) else { return Err(refused) };
    Ground::account(&account).require_sight(berth, caller, Freshness::Full).await?;
    Err(not_active(Some(account.status)))
}

fn not_active(status: Option<AccountStatus>) -> Error {
    match status {
        Some(status) => Error::AccountNotActive { status: status.as_str() },
        None => Error::NotFound { what: "account" },
    }
}

/// Every id that the run will make is fixed here, before its first effect, so that no attempt can make another.
fn fix_ids(berth: &Berth, caller: &Caller, wanted: Wanted) -> (NewWorkspace, Accepted) {
    let account = wanted.account_id;
    let accepted = Accepted { workspace_id: berth.ids.within(account), run_id: RunId(berth.ids.within(account)) };
    let workspace = accepted.workspace_id;
    let (Slug::Given(slug) | Slug::Generated(slug)) = &wanted.slug;
    let audit = Draft::of(caller, &*berth.ids, account, Some(workspace), "workspace.create")
        .target("workspace", workspace)
        .run(accepted.run_id)
        .after(json!({
            "name": wanted.name.as_str(),
            "slug_wanted": slug,
            "region": wanted.region,
            "tenancy_model": wanted.tenancy_model,
            "on_failure": wanted.on_failure,
            "labels": wanted.labels,
            "termination_protection": wanted.termination_protection,
        }));
    let input = CreateWorkspaceInput {
        workspace_id: workspace,
        account_id: account,
        name: wanted.name.as_str().to_owned(),
        region: wanted.region.clone(),
        tenancy_model: wanted.tenancy_model,
        creator: caller.principal,
        environments: environments(berth, account),
    };
    let run = NewRunOf {
        id: accepted.run_id,
        saga: SAGA,
        account_id: account,
        workspace_id: Some(workspace),
        retry_of: None,
        exclusive: true,
        on_failure: wanted.on_failure,
    }
    .with(berth, caller, &input);
    let (labels, termination_protection) = (wanted.labels, wanted.termination_protection);
    let new = NewWorkspace { labels, termination_protection, ..NewWorkspace::of(&input, wanted.name.folded(), wanted.slug, run, audit) };
    (new, accepted)
}

/// One of each name, `prod` the default, with fresh ids.
pub(crate) fn environments(berth: &Berth, account: Uuid) -> Vec<EnvironmentInput> {
    EnvironmentName::ALL
        .iter()
        .map(|name| EnvironmentInput {
            id: berth.ids.within(account),
            name: *name,
            is_default: *name == EnvironmentName::Prod,
            backend_workspace_id: berth.ids.within(account),
        })
        .collect()
}
