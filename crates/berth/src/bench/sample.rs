//! Times that something took, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Microseconds, in any order.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<u64>);

impl Sample {
    pub fn add(&mut self, took: Duration) {
        self.0.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub fn of_micros(micros: Vec<u64>) -> Self {
        Self(micros)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The time in milliseconds that a share `of` the sample did not exceed; nothing of an empty one.
    pub fn millis(&mut self, of: f64) -> Option<f64> {
        self.0.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the length"
        )]
        let index = ((self.0.len() as f64 * of) as usize).min(self.0.len().checked_sub(1)?);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 microseconds")]
        Some(self.0[index] as f64 / 1_000.0)
    }

    /// `p50_ms` and `p99_ms`, as they stand in a report.
    pub fn figures(&mut self) -> [(&'static str, Value); 2] {
        [("p50_ms", json!(self.millis(0.5))), ("p99_ms", json!(self.millis(0.99)))]
    }
}

/// How many in a second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut sample = Sample::default();
        assert_eq!(sample.millis(0.5), None);
        (1..=100).rev().for_each(|ms| sample.add(Duration::from_millis(ms)));
        assert_eq!(sample.millis(0.5), Some(51.0));
        assert_eq!(sample.millis(0.99), Some(100.0));
        assert_eq!(sample.millis(1.0), Some(100.0));
    }
}
