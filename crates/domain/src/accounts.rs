//! Use cases about accounts.

use async_trait::async_trait;
use saga::RunId;
use saga::ports::OnFailure;
use serde_json::json;
use uuid::Uuid;

use crate::access::{Freshness, Ground, Right, ask, ask_each, lacking, require_operator};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::ids::PLATFORM;
use crate::model::{Account, AccountStatus, Role, TenancyModel};
use crate::names::Name;
use crate::paging::{Listed, Source, fill};
use crate::permissions::Consistency;
use crate::ports::{NewAccount, Page};
use crate::runs::new_run::{NewRunOf, newest, trace};
use crate::steps::input::{CreateAccountInput, CreateWorkspaceInput, DefaultWorkspaceInput};
use crate::{Berth, Caller, Error, Principal, workspaces};

/// The saga that makes an account usable by its owner.
pub const SAGA: &str = "create-account";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub account_id: Uuid,
    pub run_id: RunId,
}

/// Accepts an account: with the answer its row, its creator's membership and its run are durable.
///
/// # Errors
/// [`Error::Invalid`], `Forbidden` on the platform, a reused key, an outage.
pub async fn create(berth: &Berth, caller: &Caller, name: String, replay: Option<Replay<Accepted>>) -> Result<Reply<Accepted>, Error> {
    let name = Name::parse("/name", &name).map_err(Error::Invalid)?;
    if !berth.settings.self_serve_accounts {
        require_operator(berth, caller).await?;
    }
    let account = berth.ids.account();
    let accepted = Accepted { account_id: account, run_id: RunId(berth.ids.within(account)) };
    let input = CreateAccountInput {
        account_id: account,
        name: name.as_str().to_owned(),
        creator: caller.principal,
        default_workspace: default_workspace(berth, caller, account).map(Box::new),
    };
    let run = NewRunOf {
        id: accepted.run_id,
        saga: SAGA,
        account_id: account,
        workspace_id: None,
        retry_of: None,
        exclusive: true,
        on_failure: OnFailure::Rollback,
    }
    .with(berth, caller, &input);
    let new = NewAccount {
        id: account,
        slug: name.slug("account"),
        created_by: caller.principal,
        role: Role::of_creator(caller.principal),
        workspaces_max: berth.settings.workspaces_max,
        run,
        audit: Draft::of(caller, &*berth.ids, account, None, "account.create")
            .target("account", account)
            .run(accepted.run_id)
            .after(json!({ "name": name.as_str() })),
        idempotency: replay.map(|replay| replay.keep(caller, PLATFORM, &accepted)),
        name: input.name,
    };
    match berth.accounts.create(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(()) => {
            berth.wake.new_run();
            Ok(Reply::Fresh(accepted))
        }
    }
}

/// The workspace that the account comes with, all its ids fixed now.
fn default_workspace(berth: &Berth, caller: &Caller, account: Uuid) -> Option<DefaultWorkspaceInput> {
    let wanted = berth.settings.default_workspace.as_ref()?;
    let definition = newest(berth, workspaces::create::SAGA);
    Some(DefaultWorkspaceInput {
        workspace: CreateWorkspaceInput {
            workspace_id: berth.ids.within(account),
            account_id: account,
            name: wanted.name.as_str().to_owned(),
            region: wanted.region.clone(),
            tenancy_model: TenancyModel::Shared,
            creator: caller.principal,
            environments: workspaces::create::environments(berth, account),
        },
        folded_name: wanted.name.folded(),
        slug: wanted.name.slug("workspace"),
        run_id: RunId(berth.ids.within(account)),
        definition: definition.id.clone(),
        steps: u32::try_from(definition.steps.len()).unwrap_or(u32::MAX),
        trace: trace(caller).into_iter().collect(),
        audit_id: berth.ids.within(account),
    })
}

/// An account that is not active yet is seen by its creator and by the platform's readers.
///
/// # Errors
/// `NotFound`, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, id: Uuid) -> Result<Account, Error> {
    let account = find(berth, id).await?;
    Ground::account(&account).require_sight(berth, caller, Freshness::Row).await?;
    Ok(account)
}

pub(crate) async fn find(berth: &Berth, id: Uuid) -> Result<Account, Error> {
    berth.accounts.get(id).await?.ok_or(Error::NotFound { what: "account" })
}

/// Those the caller created or is a member of; all of them with `platform#read`.
///
/// # Errors
/// An outage.
pub async fn list(berth: &Berth, caller: &Caller, page: Page) -> Result<Listed<Account>, Error> {
    let platform = ask_each(berth, caller, &Consistency::FullyConsistent, &[&Right::on_platform("read")]).await?;
    fill(&Rows { berth, caller, member: lacking(caller, &platform[0]) }, page).await
}

struct Rows<'a> {
    berth: &'a Berth,
    caller: &'a Caller,
    /// Whose rows they are; `None`: all there are.
    member: Option<Principal>,
}

#[async_trait]
impl Source for Rows<'_> {
    type Row = Account;

    fn key(row: &Account) -> Uuid {
        row.id
    }

    async fn fetch(&self, page: Page) -> Result<Vec<Account>, Error> {
        Ok(self.berth.accounts.list(self.member, page).await?)
    }

    /// A row of the caller's is no right: it may have been taken away in the meantime.
    async fn visible(&self, rows: &[Account]) -> Result<Vec<bool>, Error> {
        if self.member.is_none() {
            return Ok(vec![true; rows.len()]);
        }
        let active: Vec<Right> =
            rows.iter().filter(|a| a.status == AccountStatus::Active).map(|a| Right::on_account(a.id, "read")).collect();
        let asked: Vec<&Right> = active.iter().collect();
        let mut answers = ask(self.berth, self.caller, &Consistency::FullyConsistent, &asked).await?.into_iter();
        let visible = rows.iter().map(|account| match account.status {
            AccountStatus::Active => answers.next().unwrap_or(false),
            AccountStatus::Provisioning | AccountStatus::Failed => self.caller.principals().all(|p| p == account.created_by),
        });
        Ok(visible.collect())
    }
}
