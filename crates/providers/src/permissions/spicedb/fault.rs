//! What SpiceDB's answers mean where they are no answers: an outage, a refusal, a fault of ours, or nothing that is known.

use std::error::Error as _;
use std::io;

use domain::permissions::PermissionsError;
use spicedb_grpc_tonic::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::call::Failed;

/// What a failed try says of its effect, and of a further one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It had none, and another may succeed.
    NotDone,
    /// The connection was ended before it: no server has it on its hands, and there is nothing to be spared.
    Passed,
    /// It may have had its effect.
    Unsure {
        again: bool,
    },
    KeyRefused,
    /// It had none, and neither would another.
    Final,
}

const PRECONDITION: &str = "ERROR_REASON_WRITE_OR_DELETE_PRECONDITION_FAILURE";
const TOO_DEEP: &str = "ERROR_REASON_MAXIMUM_DEPTH_EXCEEDED";

fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Where no server can have looked at the call: nobody listened, or the connection was ended first. SpiceDB ends each after half
/// a minute, in passing: a call that meets this must be no more than a call that is made again.
fn never_arrived(status: &Status) -> Option<Fate> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) {
                return Some(Fate::NotDone);
            }
        } else if let Some(error) = error.downcast_ref::<h2::Error>() {
            // Of a stream that the server's farewell says it did not see.
            if error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)) {
                return Some(Fate::Passed);
            }
        } else if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return Some(Fate::Passed);
        }
        cause = error.source();
    }
    None
}

pub(super) fn fate(status: &Status) -> Fate {
    if let Some(fate) = never_arrived(status) {
        return fate;
    }
    match status.code() {
        Code::ResourceExhausted if reason(status).as_deref() == Some(TOO_DEEP) => Fate::Final,
        Code::ResourceExhausted | Code::Aborted => Fate::NotDone,
        // tonic calls its own timeout `Cancelled`.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Fate::Unsure { again: true },
        // A connection that broke is no answer of the server's.
        Code::Unknown | Code::Internal if status.source().is_some() => Fate::Unsure { again: true },
        Code::Unknown | Code::Internal | Code::DataLoss => Fate::Unsure { again: false },
        Code::Unauthenticated | Code::PermissionDenied => Fate::KeyRefused,
        _ => Fate::Final,
    }
}

fn told(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

pub(super) fn of_read(status: &Status) -> PermissionsError {
    match fate(status) {
        Fate::NotDone | Fate::Passed | Fate::Unsure { .. } => PermissionsError::Unavailable(told(status)),
        Fate::KeyRefused => PermissionsError::Unavailable(format!("SpiceDB refuses the key: {}", told(status))),
        Fate::Final => PermissionsError::Invalid(told(status)),
    }
}

/// `sent` are the request's preconditions: SpiceDB tells which did not hold by what it says.
pub(super) fn of_write(failed: &Failed, sent: &[v1::Precondition]) -> PermissionsError {
    let status = &failed.status;
    let refused = match (fate(status), status.code()) {
        (Fate::Unsure { .. }, _) => return PermissionsError::Unknown(told(status)),
        (Fate::NotDone | Fate::Passed | Fate::KeyRefused, _) => of_read(status),
        (Fate::Final, Code::AlreadyExists) => PermissionsError::AlreadyExists,
        (Fate::Final, Code::FailedPrecondition) if reason(status).as_deref() == Some(PRECONDITION) => {
            match sent.iter().position(|precondition| is_named(status, precondition)) {
                Some(index) => PermissionsError::PreconditionFailed { index },
                None => PermissionsError::Invalid(format!("a precondition that was not sent: {}", told(status))),
            }
        }
        (Fate::Final, _) => PermissionsError::Invalid(told(status)),
    };
    if failed.unsure {
        return PermissionsError::Unknown(format!("a try before may have been applied; the last: {}", told(status)));
    }
    refused
}

fn is_named(status: &Status, precondition: &v1::Precondition) -> bool {
    let Some(info) = status.get_details_error_info() else { return false };
    let is = |key: &str, value: &str| info.metadata.get(key).map_or("", String::as_str) == value;
    let filter = precondition.filter.clone().unwrap_or_default();
    let subject = filter.optional_subject_filter.unwrap_or_default();
    is("precondition_operation", precondition.operation().as_str_name())
        && is("precondition_resource_type", &filter.resource_type)
        && is("precondition_resource_id", &filter.optional_resource_id)
        && is("precondition_relation", &filter.optional_relation)
        && is("precondition_subject_type", &subject.subject_type)
        && is("precondition_subject_id", &subject.optional_subject_id)
}
