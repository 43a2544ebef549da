//! `POST /v1/workspaces/{id}/tokens`.

use axum::Json;
use axum::extract::State as Extracted;
use domain::Caller;
use domain::workspaces::tokens::{Minted, TOKEN_LIFETIME, mint};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::application::TokenType;
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::{Code, Problem};
use crate::query::NoQuery;
use crate::tokens::{Grant, TokenKind};

/// Nothing needs to be said.
#[derive(ToSchema)]
pub struct IssueWorkspaceToken {}

/// A token that is good for one workspace.
#[derive(Serialize, ToSchema)]
pub struct IssuedWorkspaceToken {
    /// Send it as `Authorization: Bearer`.
    #[schema(examples("eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9…"))]
    access_token: String,
    #[schema(inline)]
    token_type: TokenType,
    /// Seconds that it lives.
    #[schema(examples(1200))]
    expires_in: u64,
    /// As the audit log names it.
    token_id: Uuid,
    workspace_id: Uuid,
    /// The run that is making the workspace; null: it is there.
    provisioning_run_id: Option<Uuid>,
}

/// The token, signed: its holder's, for this workspace only.
pub(super) fn signed(state: &State, caller: &Caller, minted: Minted) -> Result<(StatusCode, Json<IssuedWorkspaceToken>), Problem> {
    let issuer = state.issuer.as_ref().ok_or_else(|| Problem::of(Code::Unavailable).retry_after(600))?;
    let grant = Grant {
        principal: caller.principal,
        token_id: minted.token_id,
        lifetime: TOKEN_LIFETIME,
        kind: TokenKind::Workspace,
        workspace: Some(minted.workspace_id),
        on_behalf_of: caller.on_behalf_of.map(|user| user.id),
    };
    let access_token = issuer.issue(&grant).map_err(|error| {
        tracing::error!(%error, "a token could not be signed");
        Problem::of(Code::InternalError)
    })?;
    let body = IssuedWorkspaceToken {
        access_token,
        token_type: TokenType::Bearer,
        expires_in: TOKEN_LIFETIME.as_secs(),
        token_id: minted.token_id,
        workspace_id: minted.workspace_id,
        provisioning_run_id: minted.run_id.map(|run| run.0),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Get a token for one workspace
///
/// Its holder is the caller, who may do with it in this workspace what the caller may, and nothing anywhere else. It lives for 20
/// minutes, dies with the workspace, and rests while the workspace is frozen. Needs `read` on the workspace.
#[utoipa::path(post, path = "/v1/workspaces/{id}/tokens", operation_id = "issueWorkspaceToken", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id")),
    request_body(content = IssueWorkspaceToken, example = json!({})),
    responses((status = 201, description = "A token", body = IssuedWorkspaceToken,
            example = json!({"access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9", "token_type": "Bearer", "expires_in": 1200,
                "token_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe1", "provisioning_run_id": null})),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 409, description = "The workspace has failed or is deleted"),
        (status = 423, description = "The workspace is frozen")))]
pub async fn issue(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    body: JsonBody,
) -> Result<(StatusCode, Json<IssuedWorkspaceToken>), Problem> {
    body.fields().finish()?;
    let minted = mint(&state.berth, &caller, id).await?;
    signed(&state, &caller, minted)
}
