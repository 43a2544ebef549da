//! `GET /v1/exports/{id}`: an export's receipt.

use axum::Json;
use axum::extract::State as Extracted;
use domain::model;
use saga::Time;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::caller::Authenticated;
use crate::me::PrincipalBody;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::timestamp::Timestamp;

/// What was exported, and whether all of it was handed over.
#[derive(Serialize, ToSchema)]
pub struct Export {
    id: Uuid,
    account_id: Uuid,
    workspace_id: Uuid,
    #[schema(inline)]
    format: ExportFormat,
    /// Its sections, in their order.
    #[schema(inline)]
    include: Vec<ExportSection>,
    /// Whether texts that a spreadsheet would take for formulas were guarded.
    csv_safe: bool,
    created_by: PrincipalBody,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Null while it runs, and for ever if the process that wrote it died.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// All of it was written and taken. False while it runs, and where it broke off.
    complete: bool,
    /// How many records were written.
    #[schema(required)]
    rows: Option<u64>,
    /// How many bytes were written, before compression.
    #[schema(required)]
    bytes: Option<u64>,
    /// SHA-256 in hex over these bytes.
    #[schema(required, pattern = "^[0-9a-f]{64}$")]
    sha256: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    Csv,
    Json,
    Ndjson,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportSection {
    Workspace,
    Environments,
    BackendWorkspaces,
    Members,
    Connections,
    Runs,
    Audit,
}

impl From<model::ExportFormat> for ExportFormat {
    fn from(format: model::ExportFormat) -> Self {
        match format {
            model::ExportFormat::Csv => Self::Csv,
            model::ExportFormat::Json => Self::Json,
            model::ExportFormat::Ndjson => Self::Ndjson,
        }
    }
}

impl From<model::ExportSection> for ExportSection {
    fn from(section: model::ExportSection) -> Self {
        match section {
            model::ExportSection::Workspace => Self::Workspace,
            model::ExportSection::Environments => Self::Environments,
            model::ExportSection::BackendWorkspaces => Self::BackendWorkspaces,
            model::ExportSection::Members => Self::Members,
            model::ExportSection::Connections => Self::Connections,
            model::ExportSection::Runs => Self::Runs,
            model::ExportSection::Audit => Self::Audit,
        }
    }
}

impl From<model::Export> for Export {
    fn from(export: model::Export) -> Self {
        Self {
            id: export.id,
            account_id: export.account_id,
            workspace_id: export.workspace_id,
            format: export.format.into(),
            include: export.include.into_iter().map(ExportSection::from).collect(),
            csv_safe: export.csv_safe,
            created_by: export.created_by.into(),
            started_at: export.started_at.into(),
            ended_at: export.ended_at.map(|at: Time| at.into()),
            complete: export.complete,
            rows: export.rows,
            bytes: export.bytes,
            sha256: export.sha256,
        }
    }
}

/// An export's receipt
///
/// What an export has written, to be held against what was received: `rows`, and `bytes` and `sha256` before compression.
/// Seen by those who may read its workspace.
#[utoipa::path(get, path = "/v1/exports/{id}", operation_id = "getExport", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The export's id, from the header `Export-Id`")),
    responses((status = 200, description = "The receipt", body = Export,
            example = json!({"id": "0197b7a2-52a9-7c10-8e2f-4b5a6d7e8fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0",
                "workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "format": "csv", "include": ["workspace", "audit"], "csv_safe": true,
                "created_by": {"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21"}, "started_at": "2026-11-22T19:30:00.123456Z",
                "ended_at": "2026-11-22T19:30:01.223456Z", "complete": true, "rows": 12, "bytes": 5120,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"})),
        (status = 404, description = "There is no such export, or you may not see it")))]
pub async fn get(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<Json<Export>, Problem> {
    Ok(Json(domain::exports::receipt(&state.berth, &caller, id).await?.into()))
}
