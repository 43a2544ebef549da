//! `POST /v1/tokens`: a service account's credentials for a token.

use axum::Json;
use axum::extract::{FromRequestParts, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::audit::Target;
use domain::audit::denials::Denial;
use domain::secrets::Kind;
use domain::service_accounts::{Exchanged, TOKEN_LIFETIME, exchange};
use domain::{Invalid, Principal, PrincipalKind};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::body::JsonBody;
use crate::caller::caller_of;
use crate::problem::{Code, Problem};
use crate::query::{NoQuery, parse_id};
use crate::tokens::{Grant, TokenKind};

/// A service account's credentials; instead of `client_id` and `client_secret` they may come as HTTP Basic.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `issue` takes")]
pub struct IssueToken {
    #[schema(inline)]
    grant_type: GrantType,
    /// The service account's id.
    #[schema(nullable = false)]
    client_id: Option<Uuid>,
    /// One of its secrets.
    #[schema(nullable = false, format = Password, examples("berth_secret_…"))]
    client_secret: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words of `grant_type`")]
pub enum GrantType {
    ClientCredentials,
}

/// A token, as OAuth 2.0 words it.
#[derive(Serialize, ToSchema)]
pub struct IssuedToken {
    /// Send it as `Authorization: Bearer`.
    #[schema(examples("eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9…"))]
    access_token: String,
    #[schema(inline)]
    token_type: TokenType,
    /// Seconds that it lives.
    #[schema(examples(900))]
    expires_in: u64,
}

#[derive(Serialize, ToSchema)]
pub enum TokenType {
    Bearer,
}

/// What a request without a token says of itself.
pub struct Unauthenticated(Parts);

impl FromRequestParts<State> for Unauthenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        Ok(Self(parts.clone()))
    }
}

/// Get a token with a service account's credentials
///
/// The client credentials grant of OAuth 2.0, in JSON: the answer is a token of the service account's that lives for 15 minutes.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "issueToken", tag = "Tokens", security(()),
    request_body(content = IssueToken, example = json!({"grant_type": "client_credentials", "client_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0",
        "client_secret": "berth_secret_0197b7a2"})),
    responses((status = 200, description = "A token", body = IssuedToken,
            example = json!({"access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9", "token_type": "Bearer", "expires_in": 900})),
        (status = 401, description = "These are nobody's credentials, or they are good no more"),
        (status = 429, description = "The secret was sent too often, or too many were wrong"),
        (status = 503, description = "A part of the service is away, or this installation issues no tokens of its own")))]
pub async fn issue(
    Extracted(state): Extracted<State>,
    Unauthenticated(parts): Unauthenticated,
    _: NoQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut fields = body.fields();
    fields.required_word("grant_type", &[("client_credentials", ())]);
    let (basic, sent) = (basic(&parts.headers)?, (fields.id("client_id"), fields.text("client_secret")));
    fields.finish()?;
    let (client, secret) = match (basic, sent) {
        (Some(credentials), (None, None)) => credentials,
        (None, (Some(client), Some(secret))) => (client, secret),
        (Some(_), _) => {
            return Err(Problem::invalid_request(vec![Invalid::new("", "holds credentials, and so does the Authorization header")]));
        }
        // No credentials are wrong ones, says OAuth 2.0.
        (None, _) => {
            return Err(challenge(Problem::new(
                Code::InvalidClient,
                "Give `client_id` and `client_secret`, both of them, or send them as HTTP Basic.",
            )));
        }
    };
    let issuer = state.issuer.as_ref().ok_or_else(|| Problem::of(Code::Unavailable).retry_after(600))?;
    let principal = Principal { kind: PrincipalKind::ServiceAccount, id: client };
    let token_id = state.berth.ids.free();
    let caller = caller_of(&parts, &state, principal, Some(token_id.to_string()));
    let attempt = state.rates.may_try(caller.source_ip, Kind::Client, &secret)?;
    state.rates.count_exchange(attempt.as_ref())?;
    match exchange(&state.berth, &caller, client, &secret).await? {
        Exchanged::Granted => state.rates.was_right(attempt.as_ref()),
        Exchanged::Unknown => {
            state.rates.was_wrong(attempt.as_ref());
            return Err(refused());
        }
        Exchanged::Dead => {
            state.rates.was_wrong(attempt.as_ref());
            // Only who has the secret comes here, so that nobody else fills the account's log.
            let targets = vec![Target { kind: "service_account".to_owned(), id: client }];
            let denial = Denial { caller, action: "token.issue".to_owned(), targets, problem_type: Code::InvalidClient.uri() };
            state.denials.note(denial).await;
            return Err(refused());
        }
    }
    let grant = Grant { principal, token_id, lifetime: TOKEN_LIFETIME, kind: TokenKind::Application, workspace: None, on_behalf_of: None };
    let access_token = issuer.issue(&grant).map_err(|error| {
        tracing::error!(%error, "a token could not be signed");
        Problem::of(Code::InternalError)
    })?;
    Ok(Json(IssuedToken { access_token, token_type: TokenType::Bearer, expires_in: TOKEN_LIFETIME.as_secs() }).into_response())
}

fn refused() -> Problem {
    challenge(Problem::of(Code::InvalidClient))
}

fn challenge(problem: Problem) -> Problem {
    problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"berth\""))
}

/// The credentials of an `Authorization: Basic` header, if there is one; what is no id is nobody's. Of another scheme are no credentials for
/// this: a client that sends its old token with each request does so with this one too.
fn basic(headers: &HeaderMap) -> Result<Option<(Uuid, String)>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, more) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let (scheme, encoded) = value.to_str().map_err(|_| refused())?.split_once(' ').unwrap_or_default();
    if more.is_none() && !scheme.is_empty() && !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = || {
        let bytes = STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (client, secret) = text.split_once(':')?;
        Some((parse_id(client)?, secret.to_owned()))
    };
    if more.is_some() { Err(refused()) } else { decoded().map(Some).ok_or_else(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<(Uuid, String)>, Code> {
        basic(&values.iter().map(|v| (header::AUTHORIZATION, v.parse().unwrap())).collect()).map_err(|p| p.code())
    }

    #[test]
    fn basic_credentials_are_an_id_and_all_that_follows_the_first_colon() {
        let id = Uuid::from_u128(7);
        let header = format!("bAsIc {}", STANDARD.encode(format!("{id}:a:b")));
        assert_eq!(read(&[&header]), Ok(Some((id, "a:b".to_owned()))));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer abc"]), Ok(None));
        for other in ["Basic", "Basic !", &format!("Basic {}", STANDARD.encode("7:a"))] {
            assert_eq!(read(&[other]), Err(Code::InvalidClient), "{other}");
        }
        assert_eq!(read(&[&header, &header]), Err(Code::InvalidClient));
    }
}
