//! The preshared key: given once, or read from a file that is looked at again and again, so that it can be rotated.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use super::SettingsError;

/// How old what was read from the file may be.
const REREAD: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub enum Key {
    Given(String),
    /// The file's content, white space around it left out.
    File(PathBuf),
}

/// A key is never shown.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// A key that was read, with when.
pub(super) struct OpenKey {
    file: Option<PathBuf>,
    current: Mutex<(MetadataValue<Ascii>, Instant)>,
}

fn bearer(key: &str) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {key}").parse().ok().filter(|_| !key.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

impl Key {
    pub(super) async fn open(self) -> Result<OpenKey, SettingsError> {
        let (key, file, place) = match self {
            Self::Given(key) => (key, None, "SpiceDB's key".to_owned()),
            Self::File(file) => {
                let cannot = |e: std::io::Error| SettingsError(format!("SpiceDB's key in {} cannot be read: {e}", file.display()));
                let key = tokio::fs::read_to_string(&file).await.map_err(cannot)?;
                let place = format!("SpiceDB's key in {}", file.display());
                (key.trim().to_owned(), Some(file), place)
            }
        };
        let value = bearer(&key).ok_or_else(|| SettingsError(format!("{place} is empty or has characters that a header may not have")))?;
        Ok(OpenKey { file, current: Mutex::new((value, Instant::now())) })
    }
}

impl OpenKey {
    /// What goes into the header; a file that cannot be read leaves what it said last.
    pub async fn bearer(&self) -> MetadataValue<Ascii> {
        let is_old = self.lock().1.elapsed() > REREAD;
        if is_old {
            self.reread().await;
        }
        self.lock().0.clone()
    }

    /// Whether the file says something new.
    pub async fn reread(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let read = tokio::fs::read_to_string(file).await;
        let mut current = self.lock();
        current.1 = Instant::now();
        match read.as_deref().map(str::trim).map(bearer) {
            Ok(Some(value)) => std::mem::replace(&mut current.0, value) != current.0,
            Ok(None) => {
                tracing::warn!(file = %file.display(), "SpiceDB's key is empty or unusable; the last one stays in use");
                false
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "SpiceDB's key cannot be read; the last one stays in use");
                false
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (MetadataValue<Ascii>, Instant)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
