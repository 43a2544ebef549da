//! How often anybody may ask: requests per principal and account, and attempts to come in that fail, per source and per credential.
//!
//! Each process counts for itself, in bounded memory, so that a request needs nobody else to be counted; behind a balancer over several
//! processes a limit is as many times as large. Only who is known is counted as a principal: nobody can use up another's quota. A
//! credential that was good a moment ago is not held up by failures, so that whoever shares its source, or only knows its id, shuts
//! nobody out.

mod quota;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use domain::secrets::{self, Kind};
use domain::{Berth, Principal, PrincipalKind};
use http::{Extensions, HeaderName, HeaderValue};
use saga::Time;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::problem::{Code, Problem};
use crate::tokens::Clock;
use quota::{Left, Quota};

const WINDOW: Duration = Duration::from_mins(1);
/// When there are more, all are forgotten.
const PROVEN_MAX: usize = 8192;
const ACCOUNTS_MAX: usize = 8192;
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How many there may be in a minute; 0: any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerMinute {
    pub requests_of_principal: u32,
    /// Of all service accounts of one account together.
    pub requests_of_account: u32,
    pub failures_of_source: u32,
    pub failures_of_credential: u32,
}

type Fingerprint = [u8; 32];

/// Counts, and says when it is too many; cheap to clone. Without limits it counts nothing.
#[derive(Clone, Default)]
pub struct Rates(Option<Arc<Counted>>);

struct Counted {
    berth: Berth,
    clock: Clock,
    principals: Option<Quota<Principal>>,
    /// Who is not known before their secret is looked at is counted under that.
    exchanges: Option<Quota<Fingerprint>>,
    accounts: Option<Quota<Uuid>>,
    sources: Option<Quota<IpAddr>>,
    credentials: Option<Quota<Fingerprint>>,
    /// Credentials that were good when they were last sent.
    proven: Mutex<HashSet<Fingerprint>>,
    /// Which account a service account belongs to, which never changes.
    homes: Mutex<HashMap<Uuid, Option<Uuid>>>,
}

/// Somebody who tries to come in.
pub(crate) struct Attempt {
    source: Option<IpAddr>,
    /// Of all that the credential is.
    text: Fingerprint,
    /// Of what it says it is: of one that has an id, the id.
    credential: Fingerprint,
}

impl Attempt {
    fn new(source: Option<IpAddr>, kind: Kind, text: &str) -> Self {
        let (named, text) = (secrets::read(kind, text).map(|(id, _)| fingerprint(id.as_bytes())), fingerprint(text.as_bytes()));
        Self { source: source.map(network), text, credential: named.unwrap_or(text) }
    }
}

/// What a request has used, for its answer.
#[derive(Debug, Clone, Default)]
struct Spent(Arc<Mutex<Vec<Used>>>);

/// Of one limit.
#[derive(Debug, Clone, Copy)]
struct Used {
    limit: &'static str,
    per_window: u32,
    left: Left,
}

impl Spent {
    fn all(&self) -> MutexGuard<'_, Vec<Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rates {
    #[must_use]
    pub fn new(limits: PerMinute, berth: Berth, clock: Clock) -> Self {
        if limits == PerMinute::default() {
            return Self::default();
        }
        Self(Some(Arc::new(Counted {
            berth,
            clock,
            principals: quota(limits.requests_of_principal),
            exchanges: quota(limits.requests_of_principal),
            accounts: quota(limits.requests_of_account),
            sources: quota(limits.failures_of_source),
            credentials: quota(limits.failures_of_credential),
            proven: Mutex::default(),
            homes: Mutex::default(),
        })))
    }

    /// Whether the credential, which is of this `kind` if it is no JWT, may be looked at. `None`: nothing is counted.
    ///
    /// # Errors
    /// Too many from its source, or of its name, were wrong lately.
    pub(crate) fn may_try(&self, source: Option<IpAddr>, kind: Kind, text: &str) -> Result<Option<Attempt>, Problem> {
        let Some(counted) = &self.0 else { return Ok(None) };
        let attempt = Attempt::new(source, kind, text);
        if counted.proven().contains(&attempt.text) {
            return Ok(Some(attempt));
        }
        let now = (counted.clock)();
        let by_source = counted.sources.as_ref().zip(attempt.source).map_or(Ok(()), |(quota, source)| quota.look(&source, now));
        by_source.map_err(|wait| too_many("Too many tokens or secrets from your address were wrong.", wait))?;
        let by_name = counted.credentials.as_ref().map_or(Ok(()), |quota| quota.look(&attempt.credential, now));
        by_name.map_err(|wait| too_many("This token or secret was wrong too often.", wait))?;
        Ok(Some(attempt))
    }

    pub(crate) fn was_wrong(&self, attempt: Option<&Attempt>) {
        metrics::counter!("http_authentication_failures_total").increment(1);
        let Some((counted, attempt)) = self.0.as_ref().zip(attempt) else { return };
        let now = (counted.clock)();
        counted.proven().remove(&attempt.text);
        if let Some((quota, source)) = counted.sources.as_ref().zip(attempt.source) {
            let _used_up = quota.take(source, now);
        }
        if let Some(quota) = &counted.credentials {
            let _used_up = quota.take(attempt.credential, now);
        }
    }

    pub(crate) fn was_right(&self, attempt: Option<&Attempt>) {
        let Some((counted, attempt)) = self.0.as_ref().zip(attempt) else { return };
        let mut proven = counted.proven();
        if proven.len() >= PROVEN_MAX && !proven.contains(&attempt.text) {
            proven.clear();
        }
        proven.insert(attempt.text);
    }

    /// Counts a request for a token with a secret.
    ///
    /// # Errors
    /// It was sent too often.
    pub(crate) fn count_exchange(&self, attempt: Option<&Attempt>) -> Result<(), Problem> {
        let Some((counted, attempt)) = self.0.as_ref().zip(attempt) else { return Ok(()) };
        let Some(quota) = &counted.exchanges else { return Ok(()) };
        charge("principal", quota, attempt.text, (counted.clock)(), &Spent::default())
    }

    /// Counts a request of `principal`, who is known.
    ///
    /// # Errors
    /// They, or their account, have asked too often; or nobody can tell whose they are.
    pub(crate) async fn count(&self, principal: Principal, extensions: &Extensions) -> Result<(), Problem> {
        let Some(counted) = &self.0 else { return Ok(()) };
        let spent = extensions.get::<Spent>().cloned().unwrap_or_default();
        let now = (counted.clock)();
        if let Some(quota) = &counted.principals {
            charge("principal", quota, principal, now, &spent)?;
        }
        if let Some(quota) = &counted.accounts
            && let Some(account) = counted.home(principal).await?
        {
            charge("account", quota, account, now, &spent)?;
        }
        Ok(())
    }
}

impl Counted {
    fn proven(&self) -> MutexGuard<'_, HashSet<Fingerprint>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<Uuid, Option<Uuid>>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account that a service account belongs to; users belong to none.
    async fn home(&self, principal: Principal) -> Result<Option<Uuid>, Problem> {
        if principal.kind == PrincipalKind::User {
            return Ok(None);
        }
        if let Some(home) = self.homes().get(&principal.id) {
            return Ok(*home);
        }
        let home = self.berth.principals.get(principal).await?.and_then(|known| known.account_id);
        let mut homes = self.homes();
        if homes.len() >= ACCOUNTS_MAX {
            homes.clear();
        }
        homes.insert(principal.id, home);
        Ok(home)
    }
}

fn quota<K: std::hash::Hash + Eq>(per_minute: u32) -> Option<Quota<K>> {
    (per_minute > 0).then(|| Quota::new(per_minute, WINDOW))
}

fn charge<K: std::hash::Hash + Eq>(limit: &'static str, quota: &Quota<K>, key: K, now: Time, spent: &Spent) -> Result<(), Problem> {
    let taken = quota.take(key, now);
    let left = taken.unwrap_or_else(|wait| Left { remaining: 0, whole_in: wait + quota.window });
    spent.all().push(Used { limit, per_window: quota.per_window, left });
    taken.map(drop).map_err(|wait| {
        metrics::counter!("http_requests_limited_total", "limit" => limit).increment(1);
        too_many(&format!("More than {} requests a minute of one {limit} are not served.", quota.per_window), wait)
    })
}

fn too_many(what: &str, wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(u32::from(wait.subsec_nanos() > 0)).max(1);
    Problem::new(Code::RateLimited, format!("{what} {}", Code::RateLimited.help())).retry_after(seconds)
}

fn fingerprint(bytes: &[u8]) -> Fingerprint {
    Sha256::digest(bytes).into()
}

/// Whoever has one address of IPv6 has a network of them.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
    }
}

/// Goes around each route: says in the answer what is left.
pub(crate) async fn tell(mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let spent = Spent::default();
    request.extensions_mut().insert(spent.clone());
    let mut response = next(request).await;
    let (mut limits, mut policies) = (String::new(), String::new());
    for Used { limit, per_window, left } in spent.all().iter() {
        let comma = if limits.is_empty() { "" } else { ", " };
        let whole_in = left.whole_in.as_secs() + u64::from(left.whole_in.subsec_nanos() > 0);
        let _ = write!(limits, "{comma}\"{limit}\";r={};t={whole_in}", left.remaining);
        let _ = write!(policies, "{comma}\"{limit}\";q={per_window};w={}", WINDOW.as_secs());
    }
    if !limits.is_empty() {
        for (header, text) in [(RATE_LIMIT, limits), (POLICY, policies)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert(header, value);
            }
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_one_network_of_ipv6_are_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1:2:3:4:5"), of("2001:db8:0:1::9"));
        assert_ne!(of("2001:db8:0:1::9"), of("2001:db8:0:2::9"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_secret_is_counted_under_its_id_and_what_has_none_under_all_of_it() {
        let named = |text: &str| Attempt::new(None, Kind::Client, text).credential;
        let id = Uuid::from_u128(7);
        let (one, other) = (secrets::make(Kind::Client, id, [1; 32]).0, secrets::make(Kind::Client, id, [2; 32]).0);
        assert_eq!(named(one.expose()), named(other.expose()));
        assert_ne!(named("a"), named("b"));
    }
}
