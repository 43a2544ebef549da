//! Operators' pauses on the wire.

pub mod lift;
pub mod list;
pub mod set;

use axum::extract::{FromRequestParts, RawPathParams};
use domain::Invalid;
use domain::pauses::{Kind, Pause, Scope};
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use crate::me::PrincipalBody;
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// An order that nothing new starts on a backend, of a saga, or for an account.
#[derive(Serialize, ToSchema)]
#[schema(as = Pause)]
pub struct PauseBody {
    /// Kind and id, as the `paused_by` of runs names it.
    #[schema(examples("backend:local"))]
    scope: String,
    #[schema(inline)]
    kind: PauseKind,
    /// A backend's name, a saga's name, or an account's id.
    #[schema(examples("local"))]
    id: String,
    /// Whether compensations wait as well.
    undo: bool,
    comment: String,
    created_by: PrincipalBody,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    Backend,
    Saga,
    Account,
}

impl From<Pause> for PauseBody {
    fn from(pause: Pause) -> Self {
        Self {
            scope: pause.scope.to_string(),
            kind: match pause.scope.kind {
                Kind::Backend => PauseKind::Backend,
                Kind::Saga => PauseKind::Saga,
                Kind::Account => PauseKind::Account,
            },
            id: pause.scope.name,
            undo: pause.undo,
            comment: pause.comment,
            created_by: pause.created_by.into(),
            created_at: pause.created_at.into(),
        }
    }
}

/// What the path names: `{kind}/{id}`.
pub struct PathScope(pub Scope);

impl<S: Send + Sync> FromRequestParts<S> for PathScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refuse = |pointer: &str, detail: &str| Problem::invalid_request(vec![Invalid::new(pointer, detail)]);
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| refuse("", "the path is not UTF-8"))?;
        let mut values = params.iter().map(|(_, value)| value);
        let (Some(kind), Some(name)) = (values.next(), values.next()) else { return Err(refuse("", "the path holds no kind and id")) };
        let kind = Kind::parse(kind).ok_or_else(|| refuse("{kind}", "is not one of `backend`, `saga`, `account`"))?;
        Ok(Self(Scope::new(kind, name)))
    }
}
