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

/// The two parts of the path that a route leaves open: a UUID, and a text that was percent-encoded.
#[derive(Debug, Clone)]
pub struct PathIdAndText(pub Uuid, pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathIdAndText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let PathId(id) = PathId::from_request_parts(parts, state).await?;
        let refuse = || Problem::invalid_request(vec![Invalid::new("", "the path is not UTF-8")]);
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| refuse())?;
        let (_, text) = params.iter().nth(1).ok_or_else(refuse)?;
        Ok(Self(id, text.to_owned()))
    }
}

/// The first two such parts.
#[derive(Debug, Clone, Copy)]
pub struct PathIds(pub Uuid, pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let PathId(first) = PathId::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| refuse("", "the path is not UTF-8"))?;
        let (name, value) = params.iter().nth(1).ok_or_else(|| refuse("", "the path holds one id only"))?;
        parse_id(value).map(|second| Self(first, second)).ok_or_else(|| refuse(&format!("{{{name}}}"), "is not a UUID"))
    }
}

/// The first three such parts.
#[derive(Debug, Clone, Copy)]
pub struct PathThreeIds(pub Uuid, pub Uuid, pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathThreeIds {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let PathIds(first, second) = PathIds::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| refuse("", "the path is not UTF-8"))?;
        let (name, value) = params.iter().nth(2).ok_or_else(|| refuse("", "the path holds two ids only"))?;
        parse_id(value).map(|third| Self(first, second, third)).ok_or_else(|| refuse(&format!("{{{name}}}"), "is not a UUID"))
    }
}

fn refuse(pointer: &str, detail: &str) -> Problem {
    Problem::invalid_request(vec![Invalid::new(pointer, detail)])
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| refuse("", "the path is not UTF-8"))?;
        let (name, value) = params.iter().next().ok_or_else(|| refuse("", "the path holds no id"))?;
        parse_id(value).map(Self).ok_or_else(|| refuse(&format!("{{{name}}}"), "is not a UUID"))
    }
}
