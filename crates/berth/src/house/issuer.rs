//! The built-in issuer: its key file, which is kept as one keeps a password, and its keys in the database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{Issuer, KeyFile, KeyStore, PrivateKey, SigningKey};
use async_trait::async_trait;
use domain::Berth;
use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::ports::{NewSigningKey, SigningKeys as _};
use domain::signing_keys::{KeyStanding, standings};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data_folder::cannot;
use crate::failure::Failure;
use crate::ids::system_time;

/// How often a process looks for keys that others have added or revoked: much more often than a key is published ahead.
const REFRESHED_EVERY: Duration = Duration::from_secs(10);

/// A fresh key, for a file.
///
/// # Errors
/// The system gives no randomness.
pub fn generate() -> Result<PrivateKey, Failure> {
    PrivateKey::generate().map_err(|e| Failure::new(format!("no signing key can be made: {e}")))
}

/// What is in the key file, or `None` if there is no such file.
///
/// # Errors
/// The file cannot be read, or holds no key.
pub fn read(path: &Path, advice: &str) -> Result<Option<KeyFile>, Failure> {
    let key = match std::fs::read(path) {
        Ok(key) => key,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot("read the signing key", path, &e)),
    };
    KeyFile::read(&key).map(Some).map_err(|e| Failure::new(format!("{} is no signing key: {e}. {advice}", path.display())))
}

/// The keys in the database, as this process can use them.
pub struct Keyring {
    pub store: Store,
    pub file: KeyFile,
    /// How long tokens of a key that signs no more are accepted.
    pub accept_for: Duration,
}

#[async_trait]
impl KeyStore for Keyring {
    async fn keys(&self) -> Result<Vec<SigningKey>, String> {
        let stored = self.store.all().await.map_err(|e| e.to_string())?;
        let standings = standings(&stored, system_time(), self.accept_for);
        let keys = stored.into_iter().zip(standings).filter_map(|(key, standing)| {
            let accepted_until = match standing {
                KeyStanding::Next { .. } | KeyStanding::Signs => None,
                KeyStanding::Accepted { until } => Some(until),
                KeyStanding::Past { .. } | KeyStanding::Revoked { .. } => return None,
            };
            Some(SigningKey {
                id: key.id,
                public: key.public_key,
                private: self.file.open(key.id, &key.sealed_key),
                signs_from: key.signs_from,
                accepted_until,
                is_first: key.number == 1,
            })
        });
        Ok(keys.collect())
    }
}

impl Keyring {
    pub fn new(config: &Config, store: &Store, file: KeyFile) -> Self {
        Self { store: store.clone(), file, accept_for: config.issuer.accept_for.0 }
    }

    /// Adds `key` as the newest one, if `after` still is that; it begins to sign after `signs_in`.
    ///
    /// # Errors
    /// The database is away.
    pub async fn add(
        &self,
        berth: &Berth,
        key: &PrivateKey,
        after: Option<uuid::Uuid>,
        signs_in: Duration,
    ) -> Result<Option<uuid::Uuid>, Failure> {
        let unusable = |e: api::KeyError| Failure::new(format!("no signing key can be made: {e}"));
        let id = berth.ids.free();
        let (public_key, sealed_key) = (key.public().map_err(unusable)?, self.file.seal(id, key).map_err(unusable)?);
        let draft = Draft::by_berth(&*berth.ids, PLATFORM, None, "signing_key.add").target("signing_key", id).outcome("succeeded");
        let added = self.store.add(NewSigningKey { id, after, public_key, sealed_key, signs_in }, draft).await;
        let added = added.map_err(|e| Failure::new(format!("the signing key cannot be stored: {e}. Try again")))?;
        Ok(added.then_some(id))
    }

    /// The issuer called `name`. Where the installation has no key yet, the key file's becomes its first; and, if the file `takes_over`,
    /// its newest where the file opens none of those that there are.
    ///
    /// # Errors
    /// The database is away, or its keys were sealed under another file.
    pub async fn open(self, berth: &Berth, name: &str, takes_over: bool) -> Result<Arc<Issuer>, Failure> {
        let stored = self.store.all().await.map_err(|e| Failure::new(format!("the signing keys cannot be read: {e}. Try again")))?;
        let opens_none = || stored.iter().all(|key| self.file.open(key.id, &key.sealed_key).is_none());
        if stored.is_empty() || (takes_over && opens_none()) {
            // Where another process was faster, its key is the same.
            self.add(berth, self.file.first(), stored.last().map(|newest| newest.id), Duration::ZERO).await?;
        }
        let opened = Issuer::open(Arc::new(self), name, Arc::new(system_time)).await;
        opened.map(Arc::new).map_err(|e| {
            Failure::new(format!(
                "{e}. Name the file that they were sealed under in `issuer.key_file`; where it is lost, or another has taken its place, run \
                 `berth keys rotate --at-once` with the new one"
            ))
        })
    }
}

/// Looks for new and revoked keys until `stop`.
pub async fn keep_fresh(issuer: Arc<Issuer>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REFRESHED_EVERY) => {}
        }
        if let Err(error) = issuer.refresh().await {
            tracing::warn!(%error, "it cannot be told whether there are other signing keys; those that are known stay in force");
        }
    }
}
