//! A time as people type it: RFC 3339, or a span that is counted from now.

use std::str::FromStr;

use saga::Time;

use crate::config::Period;

#[derive(Debug, Clone, Copy)]
pub enum Moment {
    At(Time),
    Span(Period),
}

impl Moment {
    /// A span counts into the future.
    pub fn ahead(self) -> Time {
        match self {
            Self::At(time) => time,
            Self::Span(span) => now() + span.0,
        }
    }

    /// A span counts into the past.
    pub fn ago(self) -> Time {
        match self {
            Self::At(time) => time,
            Self::Span(span) => now() - span.0,
        }
    }
}

/// This machine's time: spans are typed by people who look at its clock.
fn now() -> Time {
    crate::ids::system_time()
}

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let time = Time::parse(text).map(Self::At);
        time.or_else(|| text.parse().ok().map(Self::Span))
            .ok_or_else(|| format!("`{text}` is neither a time such as 2026-12-24T18:00:00Z nor a span such as 30m, 2h or 7d"))
    }
}
