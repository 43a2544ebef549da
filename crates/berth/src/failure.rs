//! Why a command ends without having done what it was asked: a sentence for the person who typed it, and what to do.

use std::fmt;

use domain::permissions::PermissionsError;

use crate::cli::Exit;

/// Shown as `berth: SENTENCE`.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    exit: Exit,
}

impl Failure {
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), exit: Exit::Failed }
    }

    /// Nothing went wrong but what was looked at: a check failed.
    pub fn unverified(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), exit: Exit::Unverified }
    }

    /// Where something was away, it is worth another try.
    pub fn of(error: &domain::Error, sentence: impl Into<String>) -> Self {
        let exit = if error.is_outage() { Exit::Unavailable } else { Exit::Failed };
        let mut sentence = sentence.into();
        if let domain::Error::Permissions(PermissionsError::Invalid(_)) = error {
            sentence.push_str(". `berth permissions schema check` tells whether its schema is this version's");
        }
        Self { sentence, exit }
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

impl From<crate::config::ConfigError> for Failure {
    fn from(e: crate::config::ConfigError) -> Self {
        Self::new(e.to_string())
    }
}
