//! The id in a path.

use axum::extract::{FromRequestParts, RawPathParams};
use domain::Invalid;
use http::request::Parts;
use uuid::Uuid;

use crate::problem::Problem;
use crate::query::parse_id;

/// The first part of the path that a route leaves open, which must be a UUID.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refuse = |pointer: &str, detail: &str| Problem::invalid_request(vec![Invalid::new(pointer, detail)]);
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| refuse("", "the path is not UTF-8"))?;
        let (name, value) = params.iter().next().ok_or_else(|| refuse("", "the path holds no id"))?;
        parse_id(value).map(Self).ok_or_else(|| refuse(&format!("{{{name}}}"), "is not a UUID"))
    }
}
