//! `berth dev token` and `berth token`: makes a principal with a role, and signs a token for it.
//!
//! Every part can be repeated: a cut-off grant is completed by giving it again.

use std::time::Duration;

use api::Issuer;
use clap::Args;
use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::model::{AccountStatus, Role, Scope, ScopeRef, StoredPrincipal, WorkspaceStatus};
use domain::permissions::{Cause, Object, PermissionsError, Relationship, Update};
use domain::{Berth, Error, PrincipalKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Period;
use crate::failure::Failure;

/// What the permission system is told of why.
const CAUSE: Cause = Cause::Hand("berth token");

#[derive(Args)]
#[command(group = clap::ArgGroup::new("principal").required(true))]
pub struct Arguments {
    /// The user that the token is for; made if there is none of this name.
    #[arg(long, group = "principal", value_name = "NAME")]
    user: Option<String>,
    /// The service account that the token is for; made if there is none of this name.
    #[arg(long, group = "principal", value_name = "NAME")]
    service_account: Option<String>,
    /// A role to give: owner, admin, member or viewer on an account or workspace, operator or auditor on the platform.
    #[arg(long, requires = "on")]
    role: Option<String>,
    /// What the role is on: account:ID, workspace:ID or platform.
    #[arg(long, requires = "role", value_name = "SCOPE")]
    on: Option<On>,
    /// How long the token is valid.
    #[arg(long, default_value = "30d", value_name = "PERIOD")]
    expires: Period,
}

impl Arguments {
    pub fn wanted(self) -> Wanted {
        let (kind, name) = match (self.user, self.service_account) {
            (Some(name), _) => (PrincipalKind::User, name),
            (None, name) => (PrincipalKind::ServiceAccount, name.unwrap_or_default()),
        };
        Wanted { kind, name, role: self.role.zip(self.on), lifetime: self.expires.0 }
    }
}

/// What is asked for, as it goes to the process that holds the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    pub kind: PrincipalKind,
    pub name: String,
    pub role: Option<(String, On)>,
    pub lifetime: Duration,
}

/// What a role is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum On {
    Platform,
    Account(Uuid),
    Workspace(Uuid),
}

impl std::str::FromStr for On {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none of platform, account:ID and workspace:ID");
        match text.split_once(':') {
            None if text == "platform" => Ok(Self::Platform),
            Some(("account", id)) => Uuid::try_parse(id).map(Self::Account).map_err(|_| wrong()),
            Some(("workspace", id)) => Uuid::try_parse(id).map(Self::Workspace).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// Makes the principal and its role, and signs the token.
///
/// # Errors
/// A role that does not exist there, a scope that does not, an outage.
pub async fn token(berth: &Berth, issuer: &Issuer, wanted: &Wanted) -> Result<String, Failure> {
    let name = name(&wanted.name)?;
    let account = match &wanted.role {
        Some((_, On::Account(id))) => Some(active_account(berth, *id).await?),
        Some((_, On::Workspace(id))) => Some(active_workspace(berth, *id).await?),
        _ => None,
    };
    let of_account = account.filter(|_| wanted.kind == PrincipalKind::ServiceAccount);
    let principal = berth.principals.ensure(wanted.kind, name, of_account, berth.ids.free()).await.map_err(away)?;
    if let Some((role, on)) = &wanted.role {
        match on {
            On::Platform => on_platform(berth, &principal, role).await?,
            On::Account(id) => on_scope(berth, &principal, role, Scope::Account, *id, account.unwrap_or(*id)).await?,
            On::Workspace(id) => on_scope(berth, &principal, role, Scope::Workspace, *id, account.unwrap_or(*id)).await?,
        }
    }
    signed(berth, issuer, &principal, wanted.lifetime).await
}

/// A token that is on record before anybody has it.
///
/// # Errors
/// It cannot be signed, or not be recorded.
pub async fn signed(berth: &Berth, issuer: &Issuer, of: &StoredPrincipal, lifetime: Duration) -> Result<String, Failure> {
    let (id, StoredPrincipal { principal, account_id, .. }) = (berth.ids.free(), of);
    let token = issuer.sign(*principal, id, lifetime).map_err(|e| Failure::new(format!("the token cannot be signed: {e}")))?;
    let mut entry = Draft::by_berth(&*berth.ids, account_id.unwrap_or(PLATFORM), None, "token.issue")
        .target(principal.kind.as_str(), principal.id)
        .outcome("succeeded");
    entry.credential_id = Some(id.to_string());
    berth.audit.append(entry).await.map_err(away)?;
    Ok(token)
}

/// A principal's name, without white space around it.
///
/// # Errors
/// It cannot be one.
pub fn name(text: &str) -> Result<&str, Failure> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(Failure::new("a name has 1 to 200 characters, none of them a control character"));
    }
    Ok(name)
}

async fn active_account(berth: &Berth, id: Uuid) -> Result<Uuid, Failure> {
    match berth.accounts.get(id).await.map_err(away)? {
        Some(account) if account.status == AccountStatus::Active => Ok(id),
        Some(account) => Err(Failure::new(format!("the account {id} is {}: only an active one takes members", account.status.as_str()))),
        None => Err(Failure::new(format!("there is no account {id}"))),
    }
}

async fn active_workspace(berth: &Berth, id: Uuid) -> Result<Uuid, Failure> {
    match berth.workspaces.get(id).await.map_err(away)? {
        Some(workspace) if workspace.status == WorkspaceStatus::Active => Ok(workspace.account_id),
        Some(workspace) => {
            Err(Failure::new(format!("the workspace {id} is {}: only an active one takes members", workspace.status.as_str())))
        }
        None => Err(Failure::new(format!("there is no workspace {id}"))),
    }
}

async fn on_platform(berth: &Berth, principal: &StoredPrincipal, role: &str) -> Result<(), Failure> {
    const ROLES: &[&str] = &["operator", "auditor"];
    if !ROLES.contains(&role) {
        return Err(Failure::new(format!("`{role}` is no role on the platform; there are operator and auditor")));
    }
    let draft = Draft::by_berth(&*berth.ids, PLATFORM, None, "platform.grant")
        .target(principal.principal.kind.as_str(), principal.principal.id)
        .after(serde_json::json!({ "role": role }));
    berth.audit.append(draft).await.map_err(away)?;
    let tuple = |relation: &str| Relationship::new(Object::platform(), relation, principal.principal.into());
    let updates: Vec<Update> = ROLES.iter().map(|r| if *r == role { Update::Touch(tuple(r)) } else { Update::Delete(tuple(r)) }).collect();
    berth.permissions.write(&updates, &[], &CAUSE).await.map_err(away)?;
    Ok(())
}

async fn on_scope(berth: &Berth, principal: &StoredPrincipal, role: &str, scope: Scope, id: Uuid, account: Uuid) -> Result<(), Failure> {
    let wanted = Role::parse(role).filter(|role| role.exists_on(scope));
    let Some(wanted) = wanted else {
        let roles: Vec<&str> = Role::ALL.iter().filter(|role| role.exists_on(scope)).map(|role| role.as_str()).collect();
        return Err(Failure::new(format!("`{role}` is no role on {}s; there are {}", scope.as_str(), roles.join(", "))));
    };
    if principal.principal.kind == PrincipalKind::ServiceAccount {
        if wanted == Role::Owner {
            return Err(Failure::new("an owner is a user; give the service account the role admin"));
        }
        // Whose it is, its row has said since it was made, wherever else it gets a role.
        if let Some(home) = principal.account_id {
            let home = Relationship::new(principal.principal.into(), "account", Object::account(home));
            berth.permissions.write(&[Update::Touch(home)], &[], &CAUSE).await.map_err(away)?;
        }
    }
    let workspace = (scope == Scope::Workspace).then_some(id);
    let draft = Draft::by_berth(&*berth.ids, account, workspace, &format!("{}.grant", scope.as_str()))
        .target(principal.principal.kind.as_str(), principal.principal.id)
        .outcome("succeeded");
    let on = ScopeRef { scope, id, account_id: account };
    match domain::members::assign(berth, on, principal.principal, wanted, draft).await {
        Ok(member) if member.pending => Err(away(PermissionsError::Unavailable("it does not answer".to_owned()))),
        Ok(_) => Ok(()),
        Err(Error::LastOwner { .. }) => {
            Err(Failure::new(format!("{} is the only owner of this {}: make another one first", principal.name, scope.as_str())))
        }
        Err(error @ Error::Frozen { .. }) => Err(Failure::new(format!("{error}: no role is given there until it is unfrozen"))),
        Err(error) => Err(away(error)),
    }
}

/// What was begun stands, and is completed by doing the same again.
pub fn away(error: impl Into<Error>) -> Failure {
    let error = error.into();
    Failure::of(&error, format!("the grant was not completed: {error}. Give it again: it can be repeated"))
}
