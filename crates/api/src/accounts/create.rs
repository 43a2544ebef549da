//! `POST /v1/accounts`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::accounts::{self, Accepted};
use domain::ports::Answer;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::runs;

/// The account to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `create` takes")]
pub struct CreateAccount {
    /// For people; need not be unique.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("Acme")
    )]
    name: String,
}

/// The account exists, and a run is at work on it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `answer` words")]
pub struct AccountAccepted {
    account_id: Uuid,
    provisioning_run_id: Uuid,
    #[schema(inline)]
    status: super::AccountStatus,
}

fn answer(accepted: &Accepted) -> Answer {
    Answer {
        status: 202,
        location: Some(runs::url(accepted.run_id)),
        body: json!({"account_id": accepted.account_id, "provisioning_run_id": accepted.run_id, "status": "provisioning"}),
    }
}

/// Create an account
///
/// Records the account and a run that makes its permissions; the caller becomes its owner. Follow `Location` until the run
/// has ended. Needs `administer` on the platform, unless the installation lets everyone create accounts.
#[utoipa::path(post, path = "/v1/accounts", operation_id = "createAccount", tag = "Accounts",
    request_body(content = CreateAccount, example = json!({"name": "Acme"})),
    responses(
        (status = 202, description = "Accepted", body = AccountAccepted,
            headers(("Location" = String, description = "The run's URL"), ("Retry-After" = u32, description = "Seconds until a look at the run is worthwhile"),
                ("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "status": "provisioning"})),
        (status = 403, description = "`administer` on the platform is missing"),
        (status = 409, description = "A request with the same Idempotency-Key is still being served")))]
pub async fn create(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let name = fields.required_text("name");
    fields.finish()?;
    let reply = accounts::create(&state.berth, &caller, name, idempotent.replay(&raw, answer)).await?;
    Ok(respond(reply, answer))
}
