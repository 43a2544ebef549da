//! `GET /v1`: what this API offers, and where.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::NoQuery;
use crate::workspaces::pillars::PILLARS;

/// What this API offers.
#[derive(Serialize, ToSchema)]
pub struct Index {
    #[schema(examples("berth"))]
    name: &'static str,
    /// The version of this installation.
    #[schema(examples("0.1.0"))]
    version: &'static str,
    /// Where the description of this API stands.
    #[schema(format = "uri-reference", examples("/openapi.yaml"))]
    openapi: &'static str,
    services: Vec<Service>,
}

/// A service and where it is found.
#[derive(Serialize, ToSchema)]
pub struct Service {
    #[schema(examples("workspaces"))]
    name: String,
    /// A URI template (RFC 6570) relative to this API's address.
    #[schema(examples("/v1/workspaces"))]
    href: String,
    #[schema(inline)]
    status: ServiceStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceStatus {
    Available,
    /// Reserved; nothing answers there yet.
    NotConfigured,
}

/// Index of services
///
/// Lists what this installation offers and where. Needs no token.
#[utoipa::path(get, path = "/v1", operation_id = "getIndex", tag = "Service", security(()),
    responses((status = 200, description = "The index", body = Index,
        example = json!({"name": "berth", "version": "0.1.0", "openapi": "/openapi.yaml",
            "services": [{"name": "workspaces", "href": "/v1/workspaces", "status": "available"}]}))))]
pub async fn index(_: NoQuery) -> Json<Index> {
    let offered = |name: &str| Service { name: name.to_owned(), href: format!("/v1/{name}"), status: ServiceStatus::Available };
    let mut services: Vec<Service> = ["accounts", "workspaces", "provisioning-runs", "regions", "me"].map(offered).into();
    services.extend(PILLARS.iter().map(|pillar| Service {
        name: (*pillar).to_owned(),
        href: format!("/v1/workspaces/{{id}}/{pillar}"),
        status: ServiceStatus::NotConfigured,
    }));
    Json(Index { name: "berth", version: env!("CARGO_PKG_VERSION"), openapi: "/openapi.yaml", services })
}
