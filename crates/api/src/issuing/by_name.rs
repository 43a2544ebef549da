//! `POST /v1/accounts/{id}/workspace-tokens`.

use axum::Json;
use axum::extract::State as Extracted;
use domain::workspaces::tokens::mint_by_name;
use http::StatusCode;
use utoipa::ToSchema;

use super::workspace::{IssuedWorkspaceToken, signed};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Which workspace.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `issue` takes")]
pub struct IssueTokenByName {
    /// The workspace's name; upper and lower case and white space do not matter.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("Sales Europe")
    )]
    name: String,
}

/// Get a token for the workspace of a name
///
/// As a token for its id. A name that no workspace has, and none has had, makes one, unless the installation rules that out: in the
/// account's default region, for who has `administer` on the account. The answer comes at once, with the run that is making it, and
/// the token sees the workspace while it is `provisioning`. Requests that ask for one name at once are led to one workspace. A name that
/// several have is 409, and so is one that a workspace has had: that never makes another.
#[utoipa::path(post, path = "/v1/accounts/{id}/workspace-tokens", operation_id = "issueWorkspaceTokenByName", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    request_body(content = IssueTokenByName, example = json!({"name": "Sales Europe"})),
    responses((status = 201, description = "A token", body = IssuedWorkspaceToken,
            example = json!({"access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9", "token_type": "Bearer", "expires_in": 1200,
                "token_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe1",
                "provisioning_run_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe2"})),
        (status = 403, description = "No workspace has the name, and `administer` on the account is missing"),
        (status = 404, description = "There is no such account or workspace, or you may not see it"),
        (status = 409, description = "Several workspaces have the name, or one has had it; the quota is used up; there is no default region; or \
            another request for the name is still at work"),
        (status = 423, description = "The workspace is frozen")))]
pub async fn issue(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(account): PathId,
    _: NoQuery,
    body: JsonBody,
) -> Result<(StatusCode, Json<IssuedWorkspaceToken>), Problem> {
    let mut fields = body.fields();
    let name = fields.required_text("name");
    fields.finish()?;
    let minted = mint_by_name(&state.berth, &caller, account, &name).await?;
    signed(&state, &caller, minted)
}
