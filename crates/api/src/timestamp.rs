//! A time on the wire: RFC 3339 in UTC.

use saga::Time;
use serde::Serialize;

/// Documented by its fields as a string of format `date-time`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct Timestamp(pub Time);

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self(time)
    }
}
