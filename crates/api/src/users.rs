//! Users on the wire: who is let in, and whom outside issuers vouch for.

pub mod register;
pub mod restore;
pub mod revoke;

use axum::response::Response;
use domain::berth::{Replay, Reply};
use domain::ports::{self, Answer};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::JsonBody;
use crate::idempotency::{Idempotent, respond};
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// Why a user is shut out, or let in again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `revoke` and `restore` take")]
pub struct AdmissionRequest {
    /// Kept in the audit log.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("left the company")
    )]
    comment: Option<String>,
}

/// Whether a user is let in.
#[derive(Serialize, ToSchema)]
pub struct Admission {
    /// The user's.
    id: Uuid,
    /// Since when no token of theirs is accepted; null: they are let in.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// Tokens that were issued earlier are not accepted, in either case.
    #[schema(value_type = Option<String>, format = DateTime)]
    tokens_not_before: Option<Timestamp>,
}

impl From<&ports::Admission> for Admission {
    fn from(stored: &ports::Admission) -> Self {
        Self { id: stored.user, revoked_at: stored.revoked_at.map(Timestamp), tokens_not_before: stored.tokens_not_before.map(Timestamp) }
    }
}

/// What `revoke` and `restore` are asked with: the comment, and what a repeated request is told.
fn ordered(idempotent: Idempotent, body: JsonBody) -> Result<(Option<String>, Option<Replay<ports::Admission>>), Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let comment = fields.text("comment");
    fields.finish()?;
    Ok((comment, idempotent.replay(&raw, answer)))
}

fn answer(admission: &ports::Admission) -> Answer {
    Answer { status: 200, location: None, body: json!(Admission::from(admission)) }
}

fn answered(reply: Reply<ports::Admission>) -> Response {
    respond(reply, answer)
}
