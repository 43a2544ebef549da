//! `GET /.well-known/jwks.json`: the public keys that this installation's tokens can be checked with.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::State;
use crate::query::NoQuery;
use crate::tokens::Jwk;

/// Shorter than a key is published before it signs.
const CACHED_FOR: HeaderValue = HeaderValue::from_static("public, max-age=240");

/// A set of public keys, as RFC 7517 words it.
#[derive(Serialize, ToSchema)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

/// The public keys of the built-in issuer
///
/// What others need to check tokens that this installation gives, as a JWK set (RFC 7517, RFC 8037): the key that signs, those that signed before and whose
/// tokens are still accepted, and the one that will sign next. A token names its key in `kid`.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "listSigningKeys", tag = "Tokens", security(()),
    responses((status = 200, description = "All keys", body = JwkSet,
        headers(("cache-control" = String, description = "How long the answer may be kept: shorter than a key is published before it signs")),
        example = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}))))]
pub async fn keys(Extracted(state): Extracted<State>, _: NoQuery) -> Response {
    let keys = state.issuer.as_ref().map(|issuer| issuer.published()).unwrap_or_default();
    ([(header::CACHE_CONTROL, CACHED_FOR)], Json(JwkSet { keys })).into_response()
}
