//! Use cases about provisioning runs.

pub mod events;
pub(crate) mod new_run;
mod retry;
pub(crate) mod verbs;

use std::collections::BTreeSet;

use async_trait::async_trait;
use saga::journal::Verb;
use saga::machine::fold;
use saga::{RunId, RunState, Time};
use uuid::Uuid;

use crate::access::{Freshness, Ground, Right, ask_each, bulk, settled};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::model::{Account, AccountStatus, ProvisioningRun, RunDetail};
use crate::names::parse_comment;
use crate::paging::{LIMIT_MAX, Listed, Source, fill};
use crate::permissions::{Check, Consistency, Object, PermissionsError};
use crate::ports::{NewRequest, Page, RequestAnswer, RunFilter};
use crate::steps::NEVER_PARKED;
use crate::workspaces::read::{administered, require_sight};
use crate::{Berth, Caller, Error, Principal, accounts};
use verbs::{Folded, Permitted, VERBS, is_operators, word};

/// A run as people see it: its row, and the state folded from its journal with the step names of its definition.
#[derive(Debug, Clone)]
pub struct View {
    pub detail: RunDetail,
    /// `None` where this binary does not know the run's definition: the row is shown, the steps are not.
    pub state: Option<RunState>,
    pub steps: Vec<String>,
    pub now: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The run that the verb acts on; for `retry` of an ended run the new one.
    pub run_id: RunId,
    pub verb: Verb,
    /// A new run was made.
    pub new_run: bool,
}

const NOT_FOUND: Error = Error::NotFound { what: WHAT };
const WHAT: &str = "provisioning run";

/// # Errors
/// `NotFound`, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, id: RunId) -> Result<View, Error> {
    seen(berth, caller, id, Freshness::Row).await
}

/// As [`get`], for who is going to follow it.
///
/// # Errors
/// As [`get`].
pub async fn follow(berth: &Berth, caller: &Caller, id: RunId) -> Result<View, Error> {
    seen(berth, caller, id, Freshness::Full).await
}

async fn seen(berth: &Berth, caller: &Caller, id: RunId, freshness: Freshness) -> Result<View, Error> {
    let detail = berth.runs.get(id).await?.ok_or(NOT_FOUND)?;
    ground(berth, &detail.run).await?.require_sight(berth, caller, freshness).await?;
    let now = berth.health.now().await?;
    Ok(view(berth, detail, now))
}

/// A run with its state folded from the journal.
#[must_use]
pub fn view(berth: &Berth, detail: RunDetail, now: Time) -> View {
    let definition = berth.sagas.get(&detail.run.definition).map(|saga| &saga.definition);
    View {
        state: definition.map(|d| fold(d, detail.run.created_at, detail.run.on_failure, &detail.journal)),
        steps: definition.map(|d| d.steps.iter().map(|step| step.name.clone()).collect()).unwrap_or_default(),
        detail,
        now,
    }
}

/// Whether the caller may see the run, so far as anybody knows by now: for answers that go on for long.
///
/// # Errors
/// `NotFound`, or an outage.
pub async fn still_seen(berth: &Berth, caller: &Caller, run: &ProvisioningRun) -> Result<(), Error> {
    ground(berth, run).await?.require_sight(berth, caller, Freshness::Full).await
}

/// A run is its workspace's, or its account's if it makes one.
async fn ground(berth: &Berth, run: &ProvisioningRun) -> Result<Ground, Error> {
    let ground = match run.workspace_id {
        Some(workspace) => match berth.workspaces.get(workspace).await? {
            Some(workspace) => Ground::workspace(berth, &workspace).await?,
            None => return Err(NOT_FOUND),
        },
        None => match berth.accounts.get(run.account_id).await? {
            Some(account) => Ground::account_runs(&account),
            None => return Err(NOT_FOUND),
        },
    };
    Ok(ground.named(WHAT))
}

/// Newest first. Without a filter: of all accounts whose workspaces the caller may read and of those that he is about to
/// have, or all with `platform#read`. Runs of what a freeze blocks are shown to who administers it, as a read of each would.
///
/// # Errors
/// `NotFound` or `Forbidden` about the account or workspace of the filter, or an outage.
pub async fn list(berth: &Berth, caller: &Caller, filter: &RunFilter, page: Page) -> Result<Listed<ProvisioningRun>, Error> {
    let accounts = match (filter.workspace_id, filter.account_id) {
        (Some(workspace), _) => {
            let workspace = require_sight(berth, caller, workspace, Freshness::Full).await?;
            Some(vec![workspace.account_id])
        }
        (None, Some(account)) => {
            require_runs_of(berth, caller, account).await?;
            Some(vec![account])
        }
        (None, None) => accounts_in_sight(berth, caller).await?,
    };
    if accounts.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Listed { items: Vec::new(), next: None });
    }
    fill(&InSight { berth, caller, accounts, filter }, page).await
}

struct InSight<'a> {
    berth: &'a Berth,
    caller: &'a Caller,
    /// Whose runs they are; `None`: all there are.
    accounts: Option<Vec<Uuid>>,
    filter: &'a RunFilter,
}

#[async_trait]
impl Source for InSight<'_> {
    type Row = ProvisioningRun;

    fn key(row: &ProvisioningRun) -> Uuid {
        row.id.0
    }

    async fn fetch(&self, page: Page) -> Result<Vec<ProvisioningRun>, Error> {
        Ok(self.berth.runs.list(self.accounts.as_deref(), self.filter, page).await?)
    }

    async fn visible(&self, rows: &[ProvisioningRun]) -> Result<Vec<bool>, Error> {
        let about: BTreeSet<Uuid> = rows.iter().filter_map(|run| run.workspace_id).collect();
        let blocked = self.berth.workspaces.blocked(&about.into_iter().collect::<Vec<_>>()).await?;
        let administered = administered(self.berth, self.caller, &blocked).await?;
        let hidden: BTreeSet<Uuid> = blocked.iter().zip(administered).filter(|(_, has)| !has).map(|(workspace, _)| workspace.id).collect();
        Ok(rows.iter().map(|run| run.workspace_id.is_none_or(|workspace| !hidden.contains(&workspace))).collect())
    }
}

/// What is the account's and not its plain members' to see: its runs, its audit log.
pub(crate) async fn require_runs_of(berth: &Berth, caller: &Caller, account: Uuid) -> Result<(), Error> {
    let account = accounts::find(berth, account).await?;
    let ground = Ground::account(&account);
    if account.status == AccountStatus::Active {
        return ground.require(berth, caller, &Right::on_account(account.id, "read_workspaces")).await;
    }
    ground.require_sight(berth, caller, Freshness::Full).await
}

/// Those that all of the caller's principals may look into; `None`: all there are.
async fn accounts_in_sight(berth: &Berth, caller: &Caller) -> Result<Option<Vec<Uuid>>, Error> {
    let platform = ask_each(berth, caller, &Consistency::FullyConsistent, &[&Right::on_platform("read")]).await?;
    let mut in_sight: Option<Vec<Uuid>> = None;
    for (principal, sees_all) in caller.principals().zip(&platform[0]) {
        if *sees_all {
            continue;
        }
        let mut accounts = accounts_of(berth, principal).await?;
        if let Some(others) = in_sight {
            accounts.retain(|account| others.contains(account));
        }
        in_sight = Some(accounts);
    }
    // What the permission system says of a role that was reduced is not to be relied on.
    settled(berth, caller, in_sight.as_deref().unwrap_or_default(), Consistency::FullyConsistent).await?;
    Ok(in_sight)
}

async fn accounts_of(berth: &Berth, principal: Principal) -> Result<Vec<Uuid>, Error> {
    let found = berth.permissions.lookup("account", "read_workspaces", &principal.into(), &Consistency::FullyConsistent).await;
    let mut accounts: Vec<Uuid> = match found {
        Ok(found) => found.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect(),
        Err(PermissionsError::TooMany { .. }) => accounts_asked_one_by_one(berth, principal).await?,
        Err(error) => return Err(error.into()),
    };
    let mut after = None;
    loop {
        let rows = berth.accounts.list(Some(principal), Page { after, limit: LIMIT_MAX }).await?;
        let is_end = rows.len() < usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX);
        after = rows.last().map(|account| account.id);
        let is_about_to_have = |a: &Account| a.status != AccountStatus::Active && a.created_by == principal;
        accounts.extend(rows.into_iter().filter(is_about_to_have).map(|account| account.id));
        if is_end {
            break;
        }
    }
    accounts.sort_unstable();
    accounts.dedup();
    Ok(accounts)
}

/// Where a lookup would find too many: the rows come first, and each page of them is asked about.
async fn accounts_asked_one_by_one(berth: &Berth, principal: Principal) -> Result<Vec<Uuid>, Error> {
    let (mut readable, mut after) = (Vec::new(), None);
    loop {
        let rows = berth.accounts.list(None, Page { after, limit: LIMIT_MAX }).await?;
        let checks: Vec<Check> = rows
            .iter()
            .map(|a| Check { resource: Object::account(a.id), permission: "read_workspaces".to_owned(), subject: principal.into() })
            .collect();
        let answers = bulk(berth, &checks, &Consistency::FullyConsistent).await?;
        readable.extend(rows.iter().zip(answers).filter(|(_, may)| *may).map(|(account, _)| account.id));
        after = rows.last().map(|account| account.id);
        if rows.len() < usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX) {
            return Ok(readable);
        }
    }
}

/// `cancel`, `retry`, `skip` or `abandon`.
///
/// # Errors
/// `NotFound`, `Forbidden`, [`Error::Invalid`] (a missing comment or step), [`Error::VerbConflict`], an outage.
pub async fn request(
    berth: &Berth,
    caller: &Caller,
    id: RunId,
    verb: Verb,
    step: Option<String>,
    comment: Option<String>,
    replay: Option<Replay<Requested>>,
) -> Result<Reply<Requested>, Error> {
    let comment = check_shape(verb, step.as_deref(), comment.as_deref())?;
    let detail = berth.runs.get(id).await?.ok_or(NOT_FOUND)?;
    let ground = ground(berth, &detail.run).await?;
    if is_operators(verb) {
        ground.require_operator(berth, caller).await?;
    } else {
        ground.require_action(berth, caller).await?;
    }
    let permitted = match Folded::of(berth, &detail).permit(verb, step.as_deref()) {
        Ok(permitted) => permitted,
        // What rules the verb out now may be what this very request did when it came first.
        Err(refusal) => match replay {
            None => return Err(refusal),
            Some(replay) => {
                return match berth.runs.recall(&replay.key(caller, detail.run.account_id)).await?.fresh()? {
                    Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
                    Reply::Fresh(()) => Err(refusal),
                };
            }
        },
    };
    match permitted {
        Permitted::NewRun => retry::start(berth, caller, &detail.run, comment.as_deref(), replay).await,
        Permitted::Request { step } => hand_over(berth, caller, &detail.run, verb, step, comment, replay).await,
    }
}

/// What can be said about a request without looking at the run. Returns the comment.
fn check_shape(verb: Verb, step: Option<&str>, comment: Option<&str>) -> Result<Option<String>, Error> {
    let mut invalid = Vec::new();
    if !VERBS.contains(&verb) {
        return Err(Error::VerbConflict { detail: "Only a freeze parks runs.".to_owned() });
    }
    if step.is_some() && matches!(verb, Verb::Cancel | Verb::Abandon) {
        invalid.push(crate::Invalid::new("/step", format!("`{}` is about the whole run. Leave `step` out.", word(verb))));
    }
    let comment = match comment {
        Some(comment) => parse_comment("/comment", comment).map(Some),
        None if is_operators(verb) => Err(vec![crate::Invalid::new(
            "/comment",
            format!("`{}` needs a comment that says why; it is kept in the audit log.", word(verb)),
        )]),
        None => Ok(None),
    };
    match comment {
        Ok(comment) if invalid.is_empty() => Ok(comment),
        Ok(_) => Err(Error::Invalid(invalid)),
        Err(more) => Err(Error::Invalid(invalid.into_iter().chain(more).collect())),
    }
}

/// Leaves the verb for the run's owner, who journals it in order.
async fn hand_over(
    berth: &Berth,
    caller: &Caller,
    run: &ProvisioningRun,
    verb: Verb,
    step: Option<String>,
    comment: Option<String>,
    replay: Option<Replay<Requested>>,
) -> Result<Reply<Requested>, Error> {
    let requested = Requested { run_id: run.id, verb, new_run: false };
    let audit = Draft::of(caller, &*berth.ids, run.account_id, run.workspace_id, &format!("run.{}", word(verb)))
        .target("run", run.id.0)
        .run(run.id)
        .step(step.clone())
        .reason(&*berth.ids, comment.as_deref());
    let new = NewRequest {
        id: berth.ids.within(run.account_id),
        run: run.id,
        // Leaving is always allowed; going on is a change like others, but for runs that no freeze holds back.
        gate: run
            .workspace_id
            .filter(|_| matches!(verb, Verb::Retry | Verb::Skip) && !NEVER_PARKED.contains(&run.definition.name.as_str())),
        verb,
        step,
        actor: caller.principal,
        comment,
        audit,
        idempotency: replay.map(|replay| replay.keep(caller, run.account_id, &requested)),
    };
    match berth.runs.request(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(RequestAnswer::Requested) => {
            berth.wake.wake();
            Ok(Reply::Fresh(requested))
        }
        Reply::Fresh(RequestAnswer::Frozen(freezes)) => Err(Error::Frozen { freezes }),
        Reply::Fresh(RequestAnswer::Forgotten) => Err(NOT_FOUND),
        Reply::Fresh(RequestAnswer::Ended) => {
            Err(Error::VerbConflict { detail: format!("The run has ended in the meantime; there is nothing to {}.", word(verb)) })
        }
    }
}
