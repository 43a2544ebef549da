//! Problems of RFC 9457: the one shape in which this API says no.
//!
//! Every code stands in the one table of [`Code`], from which the OpenAPI document and the pages about problems are
//! made. A handler returns a [`Problem`]; the outermost middleware writes it out, with the request's id in it.

mod failure;
pub(crate) mod page;

use axum::response::{IntoResponse, Response};
use domain::Invalid;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{Object, ObjectBuilder, Type};

/// Declares the table of problems: one line is a code with its status, title and what to do about it.
macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $status:literal $slug:literal: $title:literal, $help:literal;)+) => {
        /// A stable name for a kind of problem; never changes its meaning once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$meta])* $variant),+ }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $slug),+ }
            }

            #[must_use]
            pub fn status(self) -> StatusCode {
                let number: u16 = match self { $(Self::$variant => $status),+ };
                StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// What happened, the same for every problem of this code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// The page that `type` points to, in Markdown.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../../docs/problems/", $slug, ".md"))),+ }
            }

            /// What to do about it.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help),+ }
            }
        }
    };
}

codes! {
    InvalidRequest = 400 "invalid_request": "The request does not have the documented shape",
        "Correct what `errors` lists: unknown, missing, repeated or mistyped fields and parameters.";
    MalformedJson = 400 "malformed_json": "The body is not JSON",
        "Send one JSON object in UTF-8.";
    InvalidIdempotencyKey = 400 "invalid_idempotency_key": "The Idempotency-Key is malformed",
        "Send one key of 1 to 255 visible ASCII characters, in double quotes or bare.";
    Unauthenticated = 401 "unauthenticated": "The request carries no token",
        "Send `Authorization: Bearer TOKEN`.";
    InvalidToken = 401 "invalid_token": "The token is not valid",
        "Get a new token from the issuer and send it as it is.";
    InvalidClient = 401 "invalid_client": "These are nobody's credentials",
        "Check `client_id` and `client_secret`; if they were right once, ask who administers the account for a new secret.";
    PermissionDenied = 403 "permission_denied": "You may not do this",
        "Ask an administrator of the named object for the permission.";
    TokenScope = 403 "token_scope": "The token is not for this",
        "Send a token that is not bound to one workspace, or ask about the token's own; `GET /v1/tokens/self` tells which that is.";
    OnBehalfOfRefused = 403 "on_behalf_of_refused": "You may not act on behalf of this user",
        "Leave `Berth-On-Behalf-Of` out, or send it with a service account's token and the id or the name of a user whom Berth knows.";
    NotFound = 404 "not_found": "There is no such thing, or you may not see it",
        "Check the id, and that the token belongs to who should see it.";
    RouteNotFound = 404 "route_not_found": "This API has no such path",
        "Look the path up in `/openapi.yaml`.";
    PillarNotConfigured = 404 "pillar_not_configured": "This service is not configured for the workspace",
        "Ask the operator of this installation to configure the service.";
    MethodNotAllowed = 405 "method_not_allowed": "The path does not take this method",
        "Use one of the methods in the `Allow` header.";
    RequestTimeout = 408 "request_timeout": "The body did not arrive in time",
        "Send the request again, the body without pauses.";
    SlugTaken = 409 "slug_taken": "The slug is taken",
        "Choose another slug, or leave it out to have one made from the name.";
    QuotaExceeded = 409 "quota_exceeded": "The account's quota is used up",
        "Delete workspaces that are not needed, or have the quota raised.";
    AccountNotActive = 409 "account_not_active": "The account is not active",
        "Wait until the account's own provisioning run has succeeded.";
    TokensExhausted = 409 "tokens_exhausted": "You have as many long-lived tokens as you may",
        "Revoke those that are no longer used.";
    DefaultRegionMissing = 409 "default_region_missing": "The account has no default region",
        "Set one (`PATCH /v1/accounts/{id}/settings`), or create the workspace with `POST /v1/workspaces`, which names its region.";
    WorkspaceNotActive = 409 "workspace_not_active": "The workspace is not active",
        "Wait until the workspace's own provisioning run has succeeded; one that has failed or is being purged takes no more changes.";
    IdentityTaken = 409 "identity_taken": "Another user has this identity",
        "Use that user, or check the issuer and the subject; an identity never goes from one user to another.";
    MemberExists = 409 "member_exists": "This principal is a member already",
        "Change the member's role instead.";
    ServiceAccountExists = 409 "service_account_exists": "The account has a service account of this name",
        "Use the one that is there, or choose another name; one that was disabled keeps its own.";
    ServiceAccountDisabled = 409 "service_account_disabled": "The service account is disabled",
        "Create another one; what is disabled stays so.";
    SecretsExhausted = 409 "secrets_exhausted": "The service account has as many secrets as it may",
        "Delete one that is no longer used.";
    LastOwner = 409 "last_owner": "There would be no owner left",
        "Make somebody else an owner first.";
    LastOperator = 409 "last_operator": "There would be no operator left",
        "Have somebody else made an operator first (`berth token --user NAME --role operator --on platform`), or let another operator do it.";
    RunInProgress = 409 "run_in_progress": "Another run is at work on this workspace",
        "Wait for the run at `run_url` to end, or cancel it.";
    VerbConflict = 409 "verb_conflict": "The run's state does not allow this",
        "Read the run and see which verb fits its state.";
    InvalidTransition = 409 "invalid_transition": "What the workspace is rules this out",
        "Read the workspace, and ask for one of the transitions that `allowed` lists.";
    NameAmbiguous = 409 "name_ambiguous": "Several workspaces have this name",
        "Use the id of the one that you mean; `workspace_ids` lists them.";
    NameRetired = 409 "name_retired": "The name belonged to a workspace that has another one now, or is deleted",
        "Use the id of the workspace that you mean; `workspace_ids` lists the one that had the name, and those that have it now.";
    TerminationProtected = 409 "termination_protected": "The workspace is protected against deletion",
        "Take its `termination_protection` away first (`PATCH /v1/workspaces/{id}`), if it is to go.";
    PreconditionFailed = 412 "precondition_failed": "The workspace has changed",
        "Read it again, decide again, and send its new `ETag` as `If-Match`.";
    PreconditionRequired = 428 "precondition_required": "The request has to say which revision it is about",
        "Read the workspace, and send its `ETag` as `If-Match`.";
    WorkspaceFrozen = 423 "workspace_frozen": "The workspace is frozen",
        "Have the freezes that `freezes` lists lifted by who set them, or wait until they expire.";
    IdempotencyKeyBusy = 409 "idempotency_key_busy": "A request with this Idempotency-Key is still being served",
        "Send the same request again in a moment; it will be answered like the first.";
    BodyTooLarge = 413 "body_too_large": "The body is too large",
        "Send a smaller body.";
    UnsupportedMediaType = 415 "unsupported_media_type": "The body's type is not supported",
        "Send `Content-Type: application/json`.";
    InvalidValues = 422 "invalid_values": "A value breaks a rule",
        "Correct what `errors` lists.";
    IdempotencyKeyReused = 422 "idempotency_key_reused": "The Idempotency-Key was used for another request",
        "Use a new key for a new request; repeat a request with its query and body unchanged.";
    RateLimited = 429 "rate_limited": "Too many requests",
        "Send the request again after `Retry-After` seconds; `RateLimit` tells in every answer how many are left.";
    InternalError = 500 "internal_error": "Something went wrong on our side",
        "Report the `request_id` to the operator; sending the request again with the same Idempotency-Key is safe.";
    TooManyStreams = 503 "too_many_streams": "Too many event streams are open",
        "Poll the run with `?wait=30s`, or open the stream again after `Retry-After` seconds.";
    Unavailable = 503 "unavailable": "A part of the service is away",
        "Send the request again after `Retry-After` seconds, with the same Idempotency-Key if it has one.";
    RemovalPending = 503 "removal_pending": "A change of your role here is not in force yet",
        "Send the request again after `Retry-After` seconds; until then it is not known what you may do here.";
    ExportBusy = 503 "export_busy": "As many exports as may run at once are running",
        "Send the request again after `Retry-After` seconds.";
}

impl Code {
    /// The URI reference that names the kind of problem.
    #[must_use]
    pub fn uri(self) -> String {
        format!("/problems/{}", self.as_str())
    }
}

/// A refusal under construction: a code, a sentence that says what to do, and what programs may want.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<Invalid>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), members: Map::new(), headers: Vec::new() }
    }

    /// A problem whose detail is the general advice of its code.
    #[must_use]
    pub fn of(code: Code) -> Self {
        Self::new(code, code.help())
    }

    /// Violations of the documented shape (400); all of them, not just the first.
    #[must_use]
    pub fn invalid_request(errors: Vec<Invalid>) -> Self {
        Self::new(Code::InvalidRequest, listed(&errors)).errors(errors)
    }

    #[must_use]
    pub fn errors(mut self, errors: Vec<Invalid>) -> Self {
        self.errors = errors;
        self
    }

    /// A member beyond those of RFC 9457.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The body as it goes out: what a person looks for comes first.
    pub(crate) fn text(&self, request_id: &str) -> String {
        let mut members: Vec<(&str, Value)> = vec![
            ("type", self.code.uri().into()),
            ("title", self.code.title().into()),
            ("status", self.code.status().as_u16().into()),
            ("detail", self.detail.clone().into()),
            ("code", self.code.as_str().into()),
        ];
        if !self.errors.is_empty() {
            members.push(("errors", self.errors.iter().map(|e| json!({"pointer": e.pointer, "detail": e.detail})).collect()));
        }
        members.extend(self.members.iter().map(|(name, value)| (name.as_str(), value.clone())));
        members.push(("request_id", request_id.into()));
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The same to be looked into.
    pub(crate) fn body(&self, request_id: &str) -> Value {
        serde_json::from_str(&self.text(request_id)).unwrap_or_default()
    }
}

/// A sentence over a list of violations.
fn listed(errors: &[Invalid]) -> String {
    match errors {
        [one] => format!("{}: {}", one.pointer, one.detail),
        _ => format!("{} things are wrong with the request; `errors` lists them.", errors.len()),
    }
}

impl IntoResponse for Problem {
    /// Leaves the body to the outermost middleware, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a request was refused (RFC 9457). A problem may carry further members, such as `run_url`.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "documents what `Problem::body` writes")]
pub struct ProblemBody {
    /// Names the kind of problem; relative to this API's address.
    #[schema(format = "uri-reference", examples("/problems/not_found"))]
    r#type: String,
    /// What happened, the same for every problem of this kind.
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened here and what to do about it; for people.
    detail: String,
    #[schema(schema_with = words)]
    code: Code,
    /// Everything that is wrong with the request.
    #[schema(nullable = false)]
    errors: Option<Vec<ProblemError>>,
    /// The `X-Request-Id` of this request.
    request_id: String,
    /// With `run_in_progress`: the run that is in the way.
    #[schema(nullable = false, format = "uri-reference")]
    run_url: Option<String>,
    /// With `run_in_progress`: where the run can be cancelled.
    #[schema(nullable = false, format = "uri-reference")]
    cancel_url: Option<String>,
    /// With `invalid_transition`: what is possible instead, with the sources of freezes that it may be about.
    #[schema(nullable = false)]
    allowed: Option<Vec<String>>,
    /// With `name_ambiguous` and `name_retired`: the workspaces that may be meant, as far as the caller may read them.
    #[schema(nullable = false)]
    workspace_ids: Option<Vec<uuid::Uuid>>,
    /// With `workspace_frozen`: the freezes in force.
    #[schema(nullable = false)]
    freezes: Option<Vec<crate::freezes::Freeze>>,
}

fn words() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Code::ALL.iter().map(|c| c.as_str()))).build()
}

/// One thing that is wrong with the request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `Problem::body` writes")]
pub struct ProblemError {
    /// A JSON pointer into the body (`/name`), `?name` for a query parameter, `{name}` for a part of the path, or the name of a header.
    pointer: String,
    detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_a_unique_slug_with_a_title_and_advice() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} stands twice in the table", code.as_str());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(!code.title().ends_with('.') && code.help().ends_with('.'), "{}", code.as_str());
            let head = format!("# {}\n\n`{}`, HTTP {}\n", code.title(), code.as_str(), code.status().as_u16());
            assert!(code.page().starts_with(&head), "docs/problems/{}.md must begin with\n{head}", code.as_str());
        }
    }

    #[test]
    fn a_problem_carries_all_members_and_the_request_id() {
        let problem = Problem::invalid_request(vec![Invalid::new("/name", "is missing"), Invalid::new("?limit", "is too large")])
            .member("run_url", "/v1/provisioning-runs/1");
        let body = problem.body("abc");
        assert_eq!(body["type"], "/problems/invalid_request");
        assert_eq!(body["status"], 400);
        assert_eq!(body["errors"][1], json!({"pointer": "?limit", "detail": "is too large"}));
        assert_eq!(body["run_url"], "/v1/provisioning-runs/1");
        assert_eq!(body["request_id"], "abc");
    }
}
