//! What a data folder needs before anybody can use it: a user who is platform operator, and an active account of his.
//!
//! Each part is looked for before it is made, and the account is made like any other, by a run: a start that was cut
//! off anywhere is completed by the next one.

use std::time::Duration;

use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::model::{Account, AccountStatus, StoredPrincipal};
use domain::permissions::{Cause, Object, Relationship, Update};
use domain::ports::{ActionFilter, AuditFilter, AuditOf, AuditPage, Page};
use domain::{Berth, Caller, PrincipalKind};
use serde_json::json;

use crate::failure::Failure;

const USER: &str = "developer";
const ACCOUNT: &str = "Development";
/// The account's run takes milliseconds; a machine that needs longer than this has another trouble.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Who and what `dev.env` is about.
pub struct Tenant {
    pub user: StoredPrincipal,
    pub account: Account,
}

/// Finds the tenant, or makes it. A worker must be at work.
///
/// # Errors
/// The database is away, or the account's run fails.
pub async fn ensure(berth: &Berth) -> Result<Tenant, Failure> {
    let user = berth.principals.ensure(PrincipalKind::User, USER, None, berth.ids.free()).await.map_err(failed)?;
    let of_user = AuditFilter {
        action: Some(ActionFilter::Exactly("platform.grant".to_owned())),
        target: Some(user.principal.id),
        ..AuditFilter::default()
    };
    let one = AuditPage { above: None, below: None, oldest_first: true, limit: 1 };
    if berth.audit.list(AuditOf::Account(PLATFORM), &of_user, one).await.map_err(failed)?.is_empty() {
        // Who has a role on the platform is known from there.
        let draft = Draft::by_berth(&*berth.ids, PLATFORM, None, "platform.grant")
            .target(user.principal.kind.as_str(), user.principal.id)
            .after(json!({ "role": "operator" }));
        berth.audit.append(draft).await.map_err(failed)?;
    }
    let operator = Relationship::new(Object::platform(), "operator", user.principal.into());
    berth.permissions.write(&[Update::Touch(operator)], &[], &Cause::Hand("first start")).await.map_err(failed)?;

    let caller = Caller {
        principal: user.principal,
        on_behalf_of: None,
        workspace: None,
        credential_id: None,
        source_ip: None,
        user_agent: None,
        request_id: berth.ids.free().to_string(),
        traceparent: None,
    };
    let id = match oldest(berth, &user).await? {
        Some(account) => account.id,
        None => match domain::accounts::create(berth, &caller, ACCOUNT.to_owned(), None).await.map_err(failed)? {
            domain::berth::Reply::Fresh(accepted) => accepted.account_id,
            domain::berth::Reply::Replayed(_) => return Err(failed("a request without a key was replayed")),
        },
    };
    let active = tokio::time::timeout(PATIENCE, async {
        loop {
            match berth.accounts.get(id).await.map_err(failed)? {
                Some(account) if account.status == AccountStatus::Active => return Ok(account),
                Some(account) if account.status == AccountStatus::Failed => {
                    return Err(failed(format!("the run that makes account {id} failed; the log says why")));
                }
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    });
    let account = active.await.unwrap_or_else(|_| Err(failed(format!("the account {id} did not become active within a minute"))))?;
    Ok(Tenant { user, account })
}

/// The first of the user's accounts that did not fail: the one that earlier starts wrote into `dev.env`.
async fn oldest(berth: &Berth, user: &StoredPrincipal) -> Result<Option<Account>, Failure> {
    let mut found: Option<Account> = None;
    let mut page = Page { after: None, limit: 500 };
    loop {
        let accounts = berth.accounts.list(Some(user.principal), page).await.map_err(failed)?;
        let Some(last) = accounts.last() else { return Ok(found) };
        page.after = Some(last.id);
        found = accounts
            .into_iter()
            .filter(|a| a.created_by == user.principal && a.status != AccountStatus::Failed)
            .chain(found)
            .min_by_key(|a| (a.created_at, a.id));
    }
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    Failure::new(format!(
        "the development account cannot be made: {cause}. Start again; if it stays like this, choose another folder: --data-dir DIR"
    ))
}
