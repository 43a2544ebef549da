//! `GET /v1/workspaces/{id}/environments`.

use axum::Json;
use axum::extract::State as Extracted;
use domain::model;
use domain::workspaces::read;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::timestamp::Timestamp;

/// `dev`, `staging` or `prod` inside a workspace.
#[derive(Serialize, ToSchema)]
pub struct Environment {
    id: Uuid,
    workspace_id: Uuid,
    #[schema(inline)]
    name: EnvironmentName,
    is_default: bool,
    #[schema(inline)]
    status: EnvironmentStatus,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentName {
    Dev,
    Staging,
    Prod,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentStatus {
    Provisioning,
    Active,
}

impl From<model::Environment> for Environment {
    fn from(environment: model::Environment) -> Self {
        Self {
            id: environment.id,
            workspace_id: environment.workspace_id,
            name: match environment.name {
                model::EnvironmentName::Dev => EnvironmentName::Dev,
                model::EnvironmentName::Staging => EnvironmentName::Staging,
                model::EnvironmentName::Prod => EnvironmentName::Prod,
            },
            is_default: environment.is_default,
            status: match environment.status {
                model::EnvironmentStatus::Provisioning => EnvironmentStatus::Provisioning,
                model::EnvironmentStatus::Active => EnvironmentStatus::Active,
            },
            created_at: environment.created_at.into(),
        }
    }
}

/// Environments of a workspace
///
/// All of them, `prod` being the default. Needs `read` on the workspace.
#[utoipa::path(get, path = "/v1/workspaces/{id}/environments", operation_id = "listEnvironments", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The workspace's id")),
    responses((status = 200, description = "The environments", body = [Environment],
            example = json!([{"id": "0197b7a2-52a6-7a11-9d3e-1f2a3b4c5de0", "workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "name": "prod",
                "is_default": true, "status": "active", "created_at": "2026-11-22T19:30:00.123456Z"}])),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 423, description = "A freeze blocks it")))]
pub async fn environments(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<Json<Vec<Environment>>, Problem> {
    let environments = read::environments(&state.berth, &caller, id).await?;
    Ok(Json(environments.into_iter().map(Environment::from).collect()))
}
