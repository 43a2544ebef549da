//! What the token of one workspace may be used for: the operations that stand in one table, about its own workspace.
//!
//! An operation that is missing from the table is refused, so that a new one is closed to such tokens until somebody has thought
//! about it. Below this, the use cases give such a caller no right on anything but the workspace: each of the two is enough.

use axum::extract::{FromRequestParts as _, RawPathParams};
use http::request::Parts;
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// Where an operation names the workspace that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Nowhere: it is about no workspace.
    Nowhere,
    /// By the first id of its path.
    InPath,
    /// By `workspace_id` in its query, which has to be there.
    InQuery,
    /// By what its path names, such as a run: the use case finds out whose that is.
    ByItsThing,
}

/// Operation, and where it names the workspace.
pub const ALLOWED: &[(&str, Named)] = &[
    ("getMe", Named::Nowhere),
    ("getOwnToken", Named::Nowhere),
    ("listRegions", Named::Nowhere),
    ("getWorkspace", Named::InPath),
    ("updateWorkspace", Named::InPath),
    ("changeWorkspaceStatus", Named::InPath),
    ("listEnvironments", Named::InPath),
    ("listWorkspaceMembers", Named::InPath),
    ("listAuditEntries", Named::InPath),
    ("exportWorkspace", Named::InPath),
    ("getExport", Named::ByItsThing),
    ("getSecrets", Named::InPath),
    ("getFiles", Named::InPath),
    ("getVault", Named::InPath),
    ("getLogs", Named::InPath),
    ("getApps", Named::InPath),
    ("getCoderunners", Named::InPath),
    ("listProvisioningRuns", Named::InQuery),
    ("getProvisioningRun", Named::ByItsThing),
    ("followProvisioningRun", Named::ByItsThing),
    ("cancelProvisioningRun", Named::ByItsThing),
    ("retryProvisioningRun", Named::ByItsThing),
];

/// The operation that serves a request.
#[derive(Debug, Clone, Copy)]
pub struct Operation(pub Option<&'static str>);

/// Lets a request with a token of `workspace` go on.
///
/// # Errors
/// It is none of the operations that such a token is for, or names another workspace.
pub async fn admit(parts: &mut Parts, workspace: Uuid) -> Result<(), Problem> {
    let operation = parts.extensions.get::<Operation>().and_then(|operation| operation.0);
    let named = ALLOWED.iter().find(|(allowed, _)| Some(*allowed) == operation).map(|(_, named)| *named).ok_or_else(refused)?;
    let in_query = in_query(parts.uri.query().unwrap_or_default());
    if in_query.iter().any(|value| *value != workspace.to_string()) {
        return Err(refused());
    }
    match named {
        Named::InQuery if in_query.is_empty() => Err(refused()),
        Named::Nowhere | Named::ByItsThing | Named::InQuery => Ok(()),
        Named::InPath => {
            let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| refused())?;
            let is_own = params.iter().next().is_some_and(|(_, value)| value.parse() == Ok(workspace));
            if is_own { Ok(()) } else { Err(refused()) }
        }
    }
}

/// What a request with a token of one workspace is answered that goes beyond it.
#[must_use]
pub fn refused() -> Problem {
    Problem::of(Code::TokenScope)
}

/// What the query calls a workspace.
fn in_query(query: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| name == "workspace_id" || name == "workspace").map(|(_, value)| value.into_owned()).collect()
}
