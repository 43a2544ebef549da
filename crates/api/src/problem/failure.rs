//! Turns what a use case refused, or could not do, into a problem.
//!
//! This is where an outage or a fault of ours is logged, once, with its cause; the client gets a code and a sentence.

use domain::permissions::PermissionsError;
use domain::{Error, Invalid};
use saga::StoreError;

use http::{HeaderValue, header};
use serde_json::json;

use super::{Code, Problem, listed};
use crate::freezes::Freeze;

/// How long a client should wait before it tries again, when a part is away.
const RETRY_AFTER_SECONDS: u32 = 2;

/// How long a client should wait before it asks for an export again.
const EXPORT_AGAIN_SECONDS: u32 = 10;

impl Problem {
    /// A part that is needed cannot be had now.
    #[must_use]
    pub fn away() -> Self {
        Self::of(Code::Unavailable).retry_after(RETRY_AFTER_SECONDS)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid(errors) => invalid(errors),
            Error::NotFound { .. } => Self::new(Code::NotFound, advised(&text, Code::NotFound)),
            Error::Forbidden { what, permission } => Self::new(Code::PermissionDenied, advised(&text, Code::PermissionDenied))
                .member("permission", permission)
                .member("on", what),
            Error::SlugTaken { slug } => Self::new(Code::SlugTaken, advised(&text, Code::SlugTaken)).member("slug", slug),
            Error::QuotaExceeded { max } => Self::new(Code::QuotaExceeded, advised(&text, Code::QuotaExceeded)).member("max", max),
            Error::AccountNotActive { status } => {
                Self::new(Code::AccountNotActive, advised(&text, Code::AccountNotActive)).member("account_status", status)
            }
            Error::RunInProgress { run } => Self::new(Code::RunInProgress, advised(&text, Code::RunInProgress))
                .member("run_url", crate::runs::url(run))
                .member("cancel_url", format!("{}/cancel", crate::runs::url(run))),
            Error::WorkspaceNotActive { status } => {
                Self::new(Code::WorkspaceNotActive, advised(&text, Code::WorkspaceNotActive)).member("workspace_status", status)
            }
            Error::ServiceAccountExists => Self::of(Code::ServiceAccountExists),
            Error::ServiceAccountDisabled => Self::of(Code::ServiceAccountDisabled),
            Error::SecretsExhausted { .. } => Self::new(Code::SecretsExhausted, advised(&text, Code::SecretsExhausted)),
            Error::TokensExhausted { .. } => Self::new(Code::TokensExhausted, advised(&text, Code::TokensExhausted)),
            Error::DefaultRegionMissing => Self::of(Code::DefaultRegionMissing),
            Error::IdentityTaken => Self::of(Code::IdentityTaken),
            Error::LastOperator => Self::of(Code::LastOperator),
            Error::MemberExists => Self::of(Code::MemberExists),
            Error::LastOwner { .. } => Self::new(Code::LastOwner, advised(&text, Code::LastOwner)),
            Error::RemovalPending => Self::of(Code::RemovalPending).retry_after(RETRY_AFTER_SECONDS),
            Error::Frozen { freezes } => {
                let freezes: Vec<_> = freezes.into_iter().map(|f| json!(Freeze::from(f))).collect();
                Self::new(Code::WorkspaceFrozen, advised(&text, Code::WorkspaceFrozen)).member("freezes", freezes)
            }
            Error::PreconditionRequired => Self::new(Code::PreconditionRequired, advised(&text, Code::PreconditionRequired)),
            Error::TerminationProtected => Self::new(Code::TerminationProtected, advised(&text, Code::TerminationProtected)),
            Error::NameAmbiguous { workspaces } => {
                Self::new(Code::NameAmbiguous, advised(&text, Code::NameAmbiguous)).member("workspace_ids", json!(workspaces))
            }
            Error::NameRetired { workspaces } => {
                Self::new(Code::NameRetired, advised(&text, Code::NameRetired)).member("workspace_ids", json!(workspaces))
            }
            Error::InvalidTransition { status, allowed, .. } => {
                let possible = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
                let detail = format!("{} Possible now: {possible}.", sentence(&text));
                Self::new(Code::InvalidTransition, detail).member("workspace_status", status).member("allowed", allowed)
            }
            Error::PreconditionFailed { revision } => {
                let tag = format!("\"{revision}\"");
                let problem = Self::new(Code::PreconditionFailed, advised(&text, Code::PreconditionFailed));
                match HeaderValue::from_str(&tag) {
                    Ok(tag) => problem.header(header::ETAG, tag),
                    Err(_) => problem,
                }
            }
            Error::VerbConflict { detail } => Self::new(Code::VerbConflict, sentence(&detail)),
            Error::ExportBusy => Self::of(Code::ExportBusy).retry_after(EXPORT_AGAIN_SECONDS),
            Error::KeyReused => Self::of(Code::IdempotencyKeyReused),
            Error::KeyBusy => Self::of(Code::IdempotencyKeyBusy).retry_after(1),
            Error::Store(error) => error.into(),
            Error::Permissions(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => {
                tracing::warn!(cause, "the database is not available");
                Self::away()
            }
            StoreError::Unknown(cause) => {
                tracing::warn!(cause, "the outcome of a commit is not known");
                Self::new(
                    Code::Unavailable,
                    "The request may or may not have been carried out. Send it again with the same Idempotency-Key, or read first.",
                )
                .retry_after(RETRY_AFTER_SECONDS)
            }
            StoreError::Broken(cause) => {
                tracing::error!(cause, "the database refused a statement");
                Self::of(Code::InternalError)
            }
        }
    }
}

impl From<PermissionsError> for Problem {
    fn from(error: PermissionsError) -> Self {
        match error {
            PermissionsError::Unavailable(cause) | PermissionsError::Unknown(cause) => {
                tracing::warn!(cause, "the permission system is not available");
                Self::away()
            }
            fault => {
                tracing::error!(cause = %fault, "the permission system refused a request of ours");
                Self::of(Code::InternalError)
            }
        }
    }
}

/// Violations in the body's values are 422; a parameter or a header that breaks its rule is a malformed request, 400.
fn invalid(errors: Vec<Invalid>) -> Problem {
    let in_body = errors.iter().all(|e| e.pointer.is_empty() || e.pointer.starts_with('/'));
    let code = if in_body { Code::InvalidValues } else { Code::InvalidRequest };
    Problem::new(code, listed(&errors)).errors(errors)
}

/// `text` with a capital at its beginning and a full stop at its end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut out: String = letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default();
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

fn advised(text: &str, code: Code) -> String {
    format!("{} {}", sentence(text), code.help())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(error: impl Into<Error>) -> (u16, &'static str) {
        let problem = Problem::from(error.into());
        (problem.code().status().as_u16(), problem.code().as_str())
    }

    #[test]
    fn an_outage_is_503_and_never_a_refusal() {
        assert_eq!(code_of(StoreError::Unavailable("x".into())), (503, "unavailable"));
        assert_eq!(code_of(StoreError::Unknown("x".into())), (503, "unavailable"));
        assert_eq!(code_of(PermissionsError::Unavailable("x".into())), (503, "unavailable"));
        assert_eq!(code_of(PermissionsError::Invalid("x".into())), (500, "internal_error"));
    }

    #[test]
    fn a_fault_of_ours_keeps_its_cause_to_itself() {
        let problem = Problem::from(Error::from(StoreError::Broken("secret cause".into())));
        assert!(!problem.body("r").to_string().contains("secret cause"));
    }

    #[test]
    fn violations_in_the_body_are_422_and_others_400() {
        assert_eq!(code_of(Error::invalid("/name", "is blank")), (422, "invalid_values"));
        assert_eq!(code_of(Error::invalid("?state", "is unknown")), (400, "invalid_request"));
    }

    #[test]
    fn the_blocking_run_is_linked() {
        let run = saga::RunId(uuid::Uuid::nil());
        let body = Problem::from(Error::RunInProgress { run }).body("r");
        assert_eq!(body["run_url"], "/v1/provisioning-runs/00000000-0000-0000-0000-000000000000");
        assert_eq!(body["cancel_url"], "/v1/provisioning-runs/00000000-0000-0000-0000-000000000000/cancel");
    }
}
