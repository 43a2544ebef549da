//! Reads a definition file.

use super::Definition;

/// A definition file that cannot be used; names the line and column.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct LoadError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    pub message: String,
}

/// # Errors
/// The first thing in the file that breaks a rule, with its line and column.
pub fn load(file: &str, text: &str) -> Result<Definition, LoadError> {
    let _ = text;
    Err(LoadError { file: file.to_owned(), line: 0, column: 0, message: String::new() })
}
