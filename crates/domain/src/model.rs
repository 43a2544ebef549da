//! The nouns of `product.md` as they are stored.

use saga::definition::DefinitionId;
use saga::journal::{Ending, Record, Turn};
use saga::ports::{OnFailure, State, WaitingFor};
use saga::{RunId, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::labels::Labels;
use crate::{Principal, PrincipalKind};

/// Gives an enum its one spelling on the wire, in tables and in files.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(AccountStatus { Provisioning = "provisioning", Active = "active", Failed = "failed" });
words!(WorkspaceStatus { Provisioning = "provisioning", Active = "active", Failed = "failed", Deleted = "deleted", Purging = "purging" });
words!(TenancyModel { Shared = "shared", Dedicated = "dedicated" });
words!(EnvironmentName { Dev = "dev", Staging = "staging", Prod = "prod" });
words!(EnvironmentStatus { Provisioning = "provisioning", Active = "active" });
words!(
    /// A membership's role. Accounts have owner, admin and member; workspaces have all four.
    Role { Owner = "owner", Admin = "admin", Member = "member", Viewer = "viewer" }
);
impl Role {
    /// Of whoever created the account or workspace: an owner is a user.
    #[must_use]
    pub fn of_creator(creator: Principal) -> Self {
        match creator.kind {
            PrincipalKind::User => Self::Owner,
            PrincipalKind::ServiceAccount => Self::Admin,
        }
    }

    /// Whether going from the one to the other (`None`: no role) takes something away.
    #[must_use]
    pub fn is_reduced(before: Option<Self>, after: Option<Self>) -> bool {
        // The declaration begins with the role that may do most.
        match (before, after) {
            (Some(before), Some(after)) => after > before,
            (before, after) => before.is_some() && after.is_none(),
        }
    }

    /// Whether memberships of `scope` have this role.
    #[must_use]
    pub fn exists_on(self, scope: Scope) -> bool {
        scope == Scope::Workspace || self != Self::Viewer
    }
}

words!(Scope { Account = "account", Workspace = "workspace" });
words!(
    /// Who shuts a workspace: a set of freezes holds at most one of each.
    FreezeSource {
        AccountAdmin = "account_admin",
        Billing = "billing",
        Platform = "platform",
        Security = "security",
        Legal = "legal",
        Deletion = "deletion",
    }
);
words!(
    /// How far a freeze shuts: `blocked` beats `read_only`.
    FreezeMode { ReadOnly = "read_only", Blocked = "blocked" }
);

/// A reason, with a source, for which a workspace is shut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub source: FreezeSource,
    pub mode: FreezeMode,
    /// Free, `[a-z0-9_]{1,64}`; gives no right.
    pub code: String,
    pub note: Option<String>,
    pub created_by: Principal,
    pub created_at: Time,
    /// From then on, by database time, it is in force no more.
    pub expires_at: Option<Time>,
}

/// An account or workspace that has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeRef {
    pub scope: Scope,
    pub id: Uuid,
    /// The account itself, or the workspace's.
    pub account_id: Uuid,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    pub id: Uuid,
    pub name: String,
    /// A label made from the name; not unique.
    pub slug: String,
    pub status: AccountStatus,
    pub created_by: Principal,
    pub created_at: Time,
    /// The most workspaces that may hold quota at once.
    pub workspaces_max: i64,
    /// The permission system's token of the last write about this account.
    pub permissions_token: Option<String>,
    /// Somebody's role on it changed so lately that a read has to look whose.
    pub roles_unsettled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    pub id: Uuid,
    pub account_id: Uuid,
    pub name: String,
    /// Unique among the account's live (provisioning or active) workspaces.
    pub slug: String,
    pub status: WorkspaceStatus,
    pub region: String,
    pub tenancy_model: TenancyModel,
    pub created_by: Principal,
    pub created_at: Time,
    pub updated_at: Time,
    /// Raised by every change of the row; the `ETag`.
    pub revision: i64,
    pub permissions_token: Option<String>,
    /// Somebody's role on it or on its account changed so lately that a read has to look whose.
    pub roles_unsettled: bool,
    /// The latest run that owned the workspace.
    pub run_id: RunId,
    /// The run that made its backend workspaces, whose marks they bear.
    pub made_by: RunId,
    pub labels: Labels,
    /// While it is set the workspace cannot be deleted.
    pub termination_protection: bool,
    /// The freezes in force when the row was read, by source.
    pub freezes: Vec<Freeze>,
    /// Raised by every change of the set of freezes.
    pub freeze_revision: i64,
    /// The revision that the backends were last brought to.
    pub freeze_applied: i64,
    /// Of a deleted workspace: what a restore makes of it.
    pub status_before: Option<WorkspaceStatus>,
    pub deleted_at: Option<Time>,
    /// From then on a deleted workspace is purged.
    pub purge_at: Option<Time>,
    /// All that it had is gone; the row stays for its runs and its audit entries.
    pub purged_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub name: EnvironmentName,
    pub is_default: bool,
    pub status: EnvironmentStatus,
    pub created_at: Time,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BackendWorkspace {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub environment_id: Uuid,
    pub backend: String,
    /// Where it is on the backend, such as a schema's or a folder's name. Never a secret.
    pub locator: String,
    pub created_at: Time,
    /// Whether its own login lets anybody in, as far as freezes have been carried out.
    pub login_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pub scope: Scope,
    pub scope_id: Uuid,
    pub principal: Principal,
    pub role: Role,
}

/// A membership as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub principal: Principal,
    pub role: Role,
    pub created_at: Time,
    /// The permission system does not have the role yet.
    pub pending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMember {
    pub member: Member,
    /// Of the principal.
    pub name: String,
}

/// A change of a role that is to be delivered to the permission system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipChange {
    pub id: Uuid,
    pub on: ScopeRef,
    pub principal: Principal,
    pub role_before: Option<Role>,
    pub role_after: Option<Role>,
    /// The change before it of the same principal there, at first the run that made the account or workspace: its delivery
    /// sees to it that no late copy of that one's write is accepted any more.
    pub predecessor: Uuid,
    pub created_at: Time,
    pub attempts: u32,
}

/// A principal as it is stored: outside subjects are mapped to internal ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPrincipal {
    pub principal: Principal,
    pub name: String,
    /// The account that a service account belongs to.
    pub account_id: Option<Uuid>,
}

/// A run's row.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvisioningRun {
    pub id: RunId,
    pub definition: DefinitionId,
    pub account_id: Uuid,
    /// `None` for runs about an account.
    pub workspace_id: Option<Uuid>,
    pub retry_of: Option<RunId>,
    pub retried_by: Option<RunId>,
    pub on_failure: OnFailure,
    pub state: State,
    pub waiting_for: Option<WaitingFor>,
    pub ending: Option<Ending>,
    pub turn: Option<Turn>,
    pub done: u32,
    pub total: u32,
    pub deadline_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
    /// Raised by every commit about the run; the `ETag`.
    pub version: i64,
    pub created_by: Principal,
    /// Scopes of the pauses that hold it, or steps of it, back.
    pub paused_by: Vec<String>,
    pub input: Value,
}

/// A run with the journal that tells of its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetail {
    pub run: ProvisioningRun,
    pub journal: Vec<Record>,
    /// Verbs that the owner has not journaled yet.
    pub pending_verbs: Vec<saga::Verb>,
}

words!(ExportFormat { Csv = "csv", Json = "json", Ndjson = "ndjson" });
words!(
    /// What an export is made of, in the order in which it comes if the caller names none.
    ExportSection {
        Workspace = "workspace",
        Environments = "environments",
        BackendWorkspaces = "backend_workspaces",
        Members = "members",
        Connections = "connections",
        Runs = "runs",
        Audit = "audit",
    }
);

/// The receipt of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub id: Uuid,
    pub account_id: Uuid,
    pub workspace_id: Uuid,
    pub format: ExportFormat,
    pub include: Vec<ExportSection>,
    pub csv_safe: bool,
    pub created_by: Principal,
    pub started_at: Time,
    /// `None` while it runs, and for ever if its process died.
    pub ended_at: Option<Time>,
    /// All of it was handed over.
    pub complete: bool,
    pub rows: Option<u64>,
    /// Before compression.
    pub bytes: Option<u64>,
    /// In hex, over the bytes before compression.
    pub sha256: Option<String>,
}
