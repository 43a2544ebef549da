//! What an export's records are on the wire, where they are not what another endpoint answers as well.

use domain::{model, runs};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::AuditEntry;
use crate::members::Member;
use crate::runs::get::RunDetail;
use crate::timestamp::Timestamp;
use crate::workspaces::Workspace;
use crate::workspaces::environments::Environment;

/// A backend workspace, without its secret.
#[derive(Serialize, ToSchema)]
pub struct ExportedBackendWorkspace {
    id: Uuid,
    workspace_id: Uuid,
    environment_id: Uuid,
    #[schema(examples("local"))]
    backend: String,
    /// Where it is on the backend, such as a schema's or a folder's name.
    locator: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<model::BackendWorkspace> for ExportedBackendWorkspace {
    fn from(backend: model::BackendWorkspace) -> Self {
        Self {
            id: backend.id,
            workspace_id: backend.workspace_id,
            environment_id: backend.environment_id,
            backend: backend.backend,
            locator: backend.locator,
            created_at: backend.created_at.into(),
        }
    }
}

/// An export in JSON: an array for each section that was asked for, in that order, and the end. Where `end` is missing, so
/// is a part of the export.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `Renderer` writes")]
pub struct ExportDocument {
    #[schema(nullable = false)]
    workspace: Option<Vec<Workspace>>,
    #[schema(nullable = false)]
    environments: Option<Vec<Environment>>,
    #[schema(nullable = false)]
    backend_workspaces: Option<Vec<ExportedBackendWorkspace>>,
    #[schema(nullable = false)]
    members: Option<Vec<Member>>,
    /// Empty: there are no connections yet.
    #[schema(nullable = false, max_items = 0)]
    connections: Option<Vec<Value>>,
    #[schema(nullable = false)]
    runs: Option<Vec<RunDetail>>,
    #[schema(nullable = false)]
    audit: Option<Vec<AuditEntry>>,
    end: ExportEnd,
}

/// Stands behind all sections of an export.
#[derive(ToSchema)]
#[schema(as = ExportEnd)]
#[expect(dead_code, reason = "documents what `Renderer` writes")]
pub struct ExportEnd {
    complete: bool,
    /// How many records there are.
    rows: u64,
}

/// The text of a record.
pub fn text(record: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(record)
}

/// A run with its steps folded from its journal, as a read of it shows them.
pub fn run(berth: &domain::Berth, detail: model::RunDetail) -> serde_json::Result<String> {
    let now = detail.run.updated_at;
    text(&RunDetail::from(runs::view(berth, detail, now)))
}
