//! Tokens whose signature was found to fit: a client sends the same one for as long as it lives, and to check the signature
//! was about an eighth of what a small request costs the processor.
//!
//! What is remembered is what the token says, under its digest; whether it is still valid is asked of the clock each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::issuer::Payload;

/// When there are more, all are forgotten: strangers cannot add any, since only what the key has signed is remembered.
const MOST: usize = 4096;

type Fingerprint = [u8; 32];

#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<Fingerprint, Arc<Payload>>>);

impl Remembered {
    fn tokens(&self) -> MutexGuard<'_, HashMap<Fingerprint, Arc<Payload>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the token says, as it was remembered, or as `verify` finds it; a refusal is not remembered.
    pub fn or_verify<E>(&self, token: &str, verify: impl FnOnce() -> Result<Payload, E>) -> Result<Arc<Payload>, E> {
        let fingerprint: Fingerprint = Sha256::digest(token.as_bytes()).into();
        if let Some(payload) = self.tokens().get(&fingerprint) {
            return Ok(payload.clone());
        }
        let payload = Arc::new(verify()?);
        let mut tokens = self.tokens();
        if tokens.len() >= MOST {
            tokens.clear();
        }
        tokens.insert(fingerprint, payload.clone());
        Ok(payload)
    }
}
