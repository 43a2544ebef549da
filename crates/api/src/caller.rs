//! Who sends a request: the `Caller` of a use case from the bearer token, the connection, and the user for whom a service
//! account says that it acts.

use std::time::Duration;

use axum::extract::FromRequestParts;
use domain::audit::denials::Denial;
use domain::secrets::Kind;
use domain::{Caller, Invalid, Principal, PrincipalKind};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::State;
use crate::audited::Attempt;
use crate::middleware::{RequestId, TraceParent};
use crate::problem::{Code, Problem};
use crate::query::parse_id;
use crate::scope;
use crate::tokens::{Rejection, TokenError};

/// Characters of a user agent that are kept for the audit log.
const USER_AGENT_MAX: usize = 256;
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("berth-on-behalf-of");
/// Characters of a user's name in a header.
const NAME_MAX: usize = 200;

/// Extracts the caller; a handler that takes this answers nobody without a valid token.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Caller);

impl FromRequestParts<State> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let attempt = state.rates.may_try(state.trusted_proxies.source(parts), Kind::ApiToken, token)?;
        let answer = state.authenticator.authenticate(token).await;
        match &answer {
            Ok(_) => state.rates.was_right(attempt.as_ref()),
            Err(Rejection::Refused(_) | Rejection::Revoked(_)) => state.rates.was_wrong(attempt.as_ref()),
            Err(Rejection::Unavailable(_)) => {}
        }
        let claims = match answer {
            Ok(claims) => claims,
            Err(Rejection::Revoked(claims)) => {
                let caller = caller_of(parts, state, claims.principal, claims.token_id);
                let denial = Denial { caller, action: "token.use".to_owned(), targets: Vec::new(), problem_type: Code::InvalidToken.uri() };
                state.denials.note(denial).await;
                return Err(rejected(Rejection::Refused(TokenError::Revoked)));
            }
            Err(rejection) => return Err(rejected(rejection)),
        };
        state.rates.count(claims.principal, &parts.extensions).await?;
        let mut caller = caller_of(parts, state, claims.principal, claims.token_id.clone());
        (caller.on_behalf_of, caller.workspace) = (claims.on_behalf_of, claims.workspace);
        let attempt = Attempt::of(&parts.extensions);
        attempt.by(&caller);
        if let Some(workspace) = claims.workspace {
            scope::admit(parts, workspace).await?;
        }
        parts.extensions.insert(claims);
        if let Some(user) = named_user(&parts.headers)? {
            // Such a token says itself for whom its holder acts.
            if caller.workspace.is_some() {
                return Err(scope::refused());
            }
            caller.on_behalf_of = Some(found_user(state, caller.principal, user).await?);
            attempt.by(&caller);
        }
        Ok(Self(caller))
    }
}

/// Who sends a request, once it is known, with what the audit log wants to know of the request.
pub(crate) fn caller_of(parts: &Parts, state: &State, principal: Principal, credential_id: Option<String>) -> Caller {
    let extensions = &parts.extensions;
    Caller {
        principal,
        on_behalf_of: None,
        workspace: None,
        credential_id,
        source_ip: state.trusted_proxies.source(parts),
        user_agent: parts.headers.get(header::USER_AGENT).map(|v| printable(v.as_bytes())),
        request_id: extensions.get::<RequestId>().map(|r| r.0.to_string()).unwrap_or_default(),
        traceparent: extensions.get::<TraceParent>().map(|t| t.0.clone()),
    }
}

/// The token that a request was authenticated with, for answers that go on for long: it is asked again whether it is valid.
pub struct Token(String);

impl Token {
    /// Of a request that [`Authenticated`] let through.
    ///
    /// # Errors
    /// The request carries none.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        bearer(headers).map(|token| Self(token.to_owned()))
    }

    /// How long it is still valid; `None` if it is not.
    pub async fn valid_for(&self, state: &State) -> Option<Duration> {
        state.authenticator.authenticate(&self.0).await.ok().map(|claims| claims.valid_for)
    }
}

/// The user whom the header names, by id or by name.
fn named_user(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let malformed = |detail: &str| Problem::invalid_request(vec![Invalid::new("Berth-On-Behalf-Of", detail)]);
    let mut values = headers.get_all(ON_BEHALF_OF).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("is given more than once"));
    }
    match value.to_str().map(str::trim) {
        Ok(user) if (1..=NAME_MAX).contains(&user.len()) && !user.contains('\t') => Ok(Some(user)),
        _ => Err(malformed("is not 1 to 200 visible ASCII characters; of a user whose name has others give the id")),
    }
}

/// Only a service account acts for somebody else, and only for a user.
async fn found_user(state: &State, sender: Principal, user: &str) -> Result<Principal, Problem> {
    let refused = || Problem::of(Code::OnBehalfOfRefused);
    if sender.kind != PrincipalKind::ServiceAccount {
        return Err(refused());
    }
    let principals = &state.berth.principals;
    let found = match parse_id(user) {
        Some(id) => principals.get(Principal { kind: PrincipalKind::User, id }).await?,
        None => principals.find(PrincipalKind::User, user).await?,
    };
    let found = found.map(|known| known.principal).ok_or_else(refused)?;
    // Nobody comes in under the name of who may not come in.
    if state.berth.identities.admission(found.id).await?.revoked_at.is_some() {
        return Err(refused());
    }
    Ok(found)
}

/// The text of a header without what a terminal or a table could trip over.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX).collect()
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => {
            return Err(
                Problem::of(Code::Unauthenticated).header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"berth\""))
            );
        }
        (Some(_), Some(_)) => return Err(invalid_token("there are several Authorization headers")),
        (Some(one), None) => one.to_str().map_err(|_| invalid_token("the Authorization header is not ASCII"))?,
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(invalid_token("the Authorization header is not `Bearer TOKEN`")),
    }
}

fn rejected(rejection: Rejection) -> Problem {
    match rejection {
        Rejection::Refused(reason) => invalid_token(&reason.to_string()),
        Rejection::Revoked(_) => invalid_token(&TokenError::Revoked.to_string()),
        Rejection::Unavailable(cause) => {
            tracing::warn!(%cause, "a token could not be checked");
            Problem::away()
        }
    }
}

fn invalid_token(reason: &str) -> Problem {
    let challenge =
        format!("Bearer realm=\"berth\", error=\"invalid_token\", error_description=\"{}\"", reason.replace(['"', '\\', '`'], ""));
    let problem = Problem::new(Code::InvalidToken, format!("{}: {reason}. {}", Code::InvalidToken.title(), Code::InvalidToken.help()));
    match HeaderValue::from_str(&challenge) {
        Ok(value) => problem.header(header::WWW_AUTHENTICATE, value),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|v| (header::AUTHORIZATION, HeaderValue::from_bytes(v.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer(&headers(&["bEaReR  abc"])).unwrap(), "abc");
    }

    #[test]
    fn anything_else_is_401_with_a_challenge() {
        for (values, code) in [
            (vec![], Code::Unauthenticated),
            (vec!["Bearer"], Code::InvalidToken),
            (vec!["Basic abc"], Code::InvalidToken),
            (vec!["Bearer a", "Bearer b"], Code::InvalidToken),
            (vec!["Bearer \u{e9}"], Code::InvalidToken),
        ] {
            let problem = bearer(&headers(&values)).unwrap_err();
            assert_eq!(problem.code(), code, "{values:?}");
            let response = axum::response::IntoResponse::into_response(problem);
            assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "{values:?}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_checked_is_told_when_to_come_again() {
        let problem = rejected(Rejection::Unavailable("the issuer's keys cannot be had".to_owned()));
        assert_eq!(problem.code(), Code::Unavailable);
        let response = axum::response::IntoResponse::into_response(problem);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn a_user_agent_loses_control_characters_and_excess() {
        assert_eq!(printable(b"a\tb\xff"), "ab\u{fffd}");
        assert_eq!(printable("x".repeat(9_000).as_bytes()).len(), USER_AGENT_MAX);
    }
}
