//! The outside issuers that the settings name, with what is known of their keys.

use std::sync::Arc;

use api::{OutsideAlgorithm, OutsideIssuer, Trust};
use providers::identity::oidc::{Provider, Times};

use crate::config::{Config, SigningAlgorithm};
use crate::failure::Failure;
use crate::ids::system_time;

/// All of them; none needs to be up.
///
/// # Errors
/// An issuer's URL cannot be used.
pub fn issuers(config: &Config) -> Result<Vec<OutsideIssuer>, Failure> {
    config
        .identity
        .issuers
        .iter()
        .map(|settings| {
            let times =
                Times { fresh_for: settings.keys_fresh_for.0, kept_for: settings.keys_kept_for.0, ask_every: settings.keys_ask_every.0 };
            let provider = Provider::new(&settings.issuer, settings.keys_url.as_deref(), times, Arc::new(system_time))
                .map_err(|e| Failure::new(format!("`identity.issuers`: {e}")))?;
            let pair = |text: &String| text.split_once('=').map(|(claim, value)| (claim.to_owned(), value.to_owned()));
            let trust = Trust {
                issuer: settings.issuer.clone(),
                audiences: settings.audiences.clone(),
                algorithms: settings.algorithms.iter().copied().map(algorithm).collect(),
                subject_claim: settings.subject_claim.clone(),
                name_claim: settings.name_claim.clone(),
                required_claims: settings.required_claims.iter().filter_map(pair).collect(),
                leeway: settings.leeway.0,
                just_in_time: settings.just_in_time,
            };
            Ok(OutsideIssuer { trust, keys: Arc::new(provider) })
        })
        .collect()
}

fn algorithm(algorithm: SigningAlgorithm) -> OutsideAlgorithm {
    match algorithm {
        SigningAlgorithm::Rs256 => OutsideAlgorithm::Rs256,
        SigningAlgorithm::Es256 => OutsideAlgorithm::Es256,
        SigningAlgorithm::EdDsa => OutsideAlgorithm::EdDsa,
    }
}
