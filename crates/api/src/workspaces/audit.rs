//! `GET /v1/workspaces/{id}/audit`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::workspaces::read;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::State;
use crate::caller::Authenticated;
use crate::cursor::Key;
use crate::me::PrincipalType;
use crate::pages;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;
use crate::timestamp::Timestamp;

const LIMIT_DEFAULT: u32 = 50;

/// An audit entry, as it stands in its account's chain. `hash` is SHA-256 over `berth.audit.v1\n`, the account's id, `seq`,
/// `previous`, and the SHA-256 of the entry's RFC 8785 form without `previous` and `hash`, each personal value replaced by
/// its `hmac`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Entry`, which goes out as it is so that its hash can be checked")]
pub struct AuditEntry {
    id: Uuid,
    account_id: Uuid,
    #[schema(required)]
    workspace_id: Option<Uuid>,
    /// Counts an account's entries, without gaps.
    seq: u64,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    #[schema(required)]
    actor: Option<AuditActor>,
    /// The id of the token that was used.
    #[schema(required)]
    credential_id: Option<String>,
    #[schema(required)]
    source_ip: Option<AuditPersonal>,
    #[schema(required)]
    user_agent: Option<AuditPersonal>,
    #[schema(examples("workspace.create"))]
    action: String,
    schema_version: u32,
    targets: Vec<AuditTarget>,
    #[schema(examples("accepted"))]
    outcome: String,
    #[schema(required)]
    problem_type: Option<String>,
    #[schema(required)]
    request_id: Option<String>,
    #[schema(required)]
    trace_id: Option<String>,
    #[schema(required)]
    run_id: Option<Uuid>,
    #[schema(required)]
    step: Option<String>,
    /// What it was before; any JSON.
    #[schema(required, value_type = Value)]
    before: Option<Value>,
    /// What it is now; any JSON.
    #[schema(required, value_type = Value)]
    after: Option<Value>,
    #[schema(required)]
    reason: Option<AuditPersonal>,
    /// SHA-256 over a run's journal, in the entry that closes it.
    #[schema(required)]
    journal_sha256: Option<String>,
    /// The hash of the entry before; 64 zeros for the first.
    previous: String,
    hash: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Actor`")]
pub struct AuditActor {
    #[schema(inline)]
    r#type: PrincipalType,
    id: Uuid,
    #[schema(required)]
    on_behalf_of: Option<crate::me::PrincipalBody>,
}

/// A value about a person. Once erased, `value` and `key` are null; `hmac` stays, and with it every hash.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Personal`")]
pub struct AuditPersonal {
    #[schema(required)]
    value: Option<String>,
    #[schema(required)]
    key: Option<String>,
    hmac: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "documents `domain::audit::Target`")]
pub struct AuditTarget {
    #[schema(examples("workspace"))]
    r#type: String,
    id: Uuid,
}

/// Pages of the audit log are shorter than those of other lists.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Query` takes")]
pub struct Paging {
    /// The most entries of a page.
    #[param(minimum = 1, maximum = 1000, default = 50, nullable = false, required = false, example = 50)]
    limit: Option<u32>,
    /// Where the page starts; taken from the `Link` header of the page before.
    #[param(nullable = false, required = false)]
    cursor: Option<String>,
}

/// Audit entries of a workspace
///
/// Who did what, newest first. A past page never changes. Needs `read` on the workspace.
#[utoipa::path(get, path = "/v1/workspaces/{id}/audit", operation_id = "listAuditEntries", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The workspace's id"), Paging),
    responses((status = 200, description = "A page of entries", body = [AuditEntry], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 404, description = "There is no such workspace, or you may not see it")))]
pub async fn audit(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.limit(LIMIT_DEFAULT);
    let before = query.after_seq();
    let listing = query.finish()?;
    // One more than asked for tells whether there is a next page.
    let mut entries = read::audit(&state.berth, &caller, id, before, limit + 1).await?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > page;
    entries.truncate(page);
    let next = entries.last().filter(|_| more).map(|e| Key::Seq(e.seq));
    Ok(pages::items(entries, next, &listing))
}
