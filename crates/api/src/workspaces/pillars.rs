//! The paths reserved for pillars: neighbouring services scoped to a workspace, none of which is configured yet.

use axum::extract::State as Extracted;
use axum::routing::{MethodFilter, on};
use domain::workspaces::read;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::{Code, Problem};

pub const PILLARS: [&str; 6] = ["secrets", "files", "vault", "logs", "apps", "coderunners"];

/// Tells who may read the workspace that there is nothing here yet, and everyone else that there is nothing.
async fn unconfigured(Extracted(state): Extracted<State>, Authenticated(caller): Authenticated, PathId(id): PathId) -> Problem {
    match read::authorize_read(&state.berth, &caller, id).await {
        Ok(()) => Problem::of(Code::PillarNotConfigured),
        Err(error) => error.into(),
    }
}

/// Documents a pillar's own path; the handler is the same for all.
macro_rules! pillar {
    ($name:ident, $path:literal, $id:literal) => {
        /// Reserved for a pillar
        ///
        /// The path of a neighbouring service of the workspace. Answers `pillar_not_configured` to who may read the workspace,
        /// here and anywhere below, until the service is configured.
        #[utoipa::path(get, path = $path, operation_id = $id, tag = "Pillars",
                    params(("id" = uuid::Uuid, Path, description = "The workspace's id")),
                    responses((status = 200, description = "Answered by the service, once it is configured"),
                        (status = 404, description = "The service is not configured; or there is no such workspace, or you may not see it"),
                (status = 423, description = "A freeze blocks the workspace")))]
        async fn $name(state: Extracted<State>, caller: Authenticated, id: PathId) -> Problem {
            unconfigured(state, caller, id).await
        }
    };
}

pillar!(secrets, "/v1/workspaces/{id}/secrets", "getSecrets");
pillar!(files, "/v1/workspaces/{id}/files", "getFiles");
pillar!(vault, "/v1/workspaces/{id}/vault", "getVault");
pillar!(logs, "/v1/workspaces/{id}/logs", "getLogs");
pillar!(apps, "/v1/workspaces/{id}/apps", "getApps");
pillar!(coderunners, "/v1/workspaces/{id}/coderunners", "getCoderunners");

/// The reserved paths, with everything below them.
pub fn reserved() -> OpenApiRouter<State> {
    let documented = OpenApiRouter::new()
        .routes(routes!(secrets))
        .routes(routes!(files))
        .routes(routes!(vault))
        .routes(routes!(logs))
        .routes(routes!(apps))
        .routes(routes!(coderunners));
    let below = MethodFilter::GET.or(MethodFilter::POST).or(MethodFilter::PUT).or(MethodFilter::PATCH).or(MethodFilter::DELETE);
    PILLARS
        .iter()
        .fold(documented, |router, pillar| router.route(&format!("/v1/workspaces/{{id}}/{pillar}/{{*rest}}"), on(below, unconfigured)))
}
