//! What makes an outside issuer one that can be trusted at all.

use super::Config;

/// What is wrong with `identity.issuers`.
pub fn check(config: &Config) -> Vec<String> {
    let mut findings = Vec::new();
    let issuers = &config.identity.issuers;
    for (i, issuer) in issuers.iter().enumerate() {
        let name = &issuer.issuer;
        let mut must = |holds: bool, text: &str| {
            if !holds {
                findings.push(format!("`identity.issuers`: `{name}`: {text}"));
            }
        };
        must(*name != config.issuer.name, "this is the built-in issuer's own name (`issuer.name`)");
        // The full name of a user who has no other is `ISSUER#SUBJECT`: what stands before the first `#` is to be the issuer.
        must(!name.contains(['#', '?']), "`issuer`: a URL without `?` and `#` is needed");
        must(name.len() <= 255, "`issuer`: 255 characters are enough");
        must(issuers[..i].iter().all(|other| other.issuer != *name), "it is there twice");
        must(
            !issuer.audiences.is_empty() && issuer.audiences.iter().all(|a| !a.is_empty()),
            "`audiences`: at least one is needed, and none is empty",
        );
        must(!issuer.algorithms.is_empty(), "`algorithms`: at least one is needed");
        must(!issuer.subject_claim.is_empty(), "`subject_claim`: must not be empty");
        let pairs = issuer.required_claims.iter().all(|pair| pair.split_once('=').is_some_and(|(claim, _)| !claim.is_empty()));
        must(pairs, "`required_claims`: each is written CLAIM=VALUE");
        must(issuer.leeway.0.as_secs() <= 300, "`leeway`: a clock that is off by more than five minutes is to be put right");
        must(!issuer.keys_fresh_for.0.is_zero(), "`keys_fresh_for`: must not be zero");
        must(issuer.keys_kept_for.0 >= issuer.keys_fresh_for.0, "`keys_kept_for`: must not be less than `keys_fresh_for`");
        must(!issuer.keys_ask_every.0.is_zero(), "`keys_ask_every`: must not be zero");
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::config::{Identity, Issuer, OutsideIssuer, Period};

    use super::*;

    fn findings(change: impl FnOnce(&mut OutsideIssuer)) -> usize {
        let mut issuer =
            OutsideIssuer { issuer: "https://id.example.com".to_owned(), audiences: vec!["berth".to_owned()], ..OutsideIssuer::default() };
        change(&mut issuer);
        check(&Config { identity: Identity { issuers: vec![issuer] }, ..Config::default() }).len()
    }

    #[test]
    fn an_issuer_that_cannot_be_trusted_is_named() {
        assert_eq!(findings(|_| ()), 0);
        assert_eq!(findings(|i| i.issuer = Issuer::default().name), 1);
        assert_eq!(findings(|i| i.issuer.push('#')), 1);
        assert_eq!(findings(|i| i.issuer.push_str(&"x".repeat(256))), 1);
        assert_eq!(findings(|i| i.audiences.clear()), 1);
        assert_eq!(findings(|i| i.audiences.push(String::new())), 1);
        assert_eq!(findings(|i| i.algorithms.clear()), 1);
        assert_eq!(findings(|i| i.subject_claim.clear()), 1);
        assert_eq!(findings(|i| i.required_claims = vec!["hd".to_owned()]), 1);
        assert_eq!(findings(|i| i.leeway = Period::seconds(301)), 1);
        assert_eq!(findings(|i| i.keys_kept_for = Period::seconds(1)), 1);
        let twice = vec![OutsideIssuer { audiences: vec!["a".to_owned()], ..OutsideIssuer::default() }; 2];
        assert_eq!(check(&Config { identity: Identity { issuers: twice }, ..Config::default() }).len(), 1);
    }
}
