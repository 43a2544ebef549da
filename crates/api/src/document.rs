//! `GET /openapi.yaml`: the description of this API.

use std::sync::OnceLock;

use axum::response::IntoResponse;
use http::header;

use crate::query::NoQuery;

/// This description
///
/// The OpenAPI document of the version that answers.
#[utoipa::path(get, path = "/openapi.yaml", operation_id = "getOpenApi", tag = "Service", security(()),
    responses((status = 200, description = "The OpenAPI document", body = Object, content_type = "application/yaml",
        example = json!({"openapi": "3.1.0"}))))]
pub async fn document(_: NoQuery) -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    ([(header::CONTENT_TYPE, "application/yaml")], TEXT.get_or_init(crate::openapi_yaml).as_str())
}
