//! Where a request comes from: the peer's address, unless the peer is a proxy that is trusted to say better.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use http::request::Parts;

/// Networks of proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

/// Not an address, nor a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(widest), str::parse).map_err(|_| bad())?;
        if prefix > widest { Err(bad()) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| bits.checked_sub(self.prefix).is_some_and(|cut| cut >= 128 || (a >> cut) == (b >> cut));
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl TrustedProxies {
    /// # Errors
    /// Names the first entry that is neither an address nor a network.
    pub fn parse<S: AsRef<str>>(networks: &[S]) -> Result<Self, NetworkError> {
        networks.iter().map(|n| n.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|n| n.holds(address))
    }

    /// The address of the client: the last one in `X-Forwarded-For` that is not itself a trusted proxy's.
    pub(crate) fn source(&self, parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let peer = peer.ip().to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
        let mut source = peer;
        for hop in forwarded.collect::<Vec<_>>().into_iter().rev() {
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            source = hop.to_canonical();
            if !self.trusts(source) {
                break;
            }
        }
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut request = http::Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 9)));
        TrustedProxies::parse(trusted).unwrap().source(&parts).unwrap().to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_his_address() {
        assert_eq!(source(&[], "203.0.113.5", &["10.0.0.1"]), "203.0.113.5");
        assert_eq!(
            source(&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, 203.0.113.9"]),
            "203.0.113.9",
            "what the proxy saw, not what it was told"
        );
    }

    #[test]
    fn a_chain_of_trusted_proxies_is_followed_to_the_first_stranger() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(source(&trusted, "::ffff:10.0.0.1", &["203.0.113.9", "2001:db8::7, 10.9.9.9"]), "203.0.113.9");
        assert_eq!(source(&trusted, "10.0.0.1", &["nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(source(&trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        for bad in ["", "10.0.0.0/33", "::/129", "example.com", "10.0.0.0/x"] {
            assert!(TrustedProxies::parse(&[bad]).is_err(), "{bad}");
        }
        assert!(TrustedProxies::parse(&["0.0.0.0/0", "::/0", "127.0.0.1"]).unwrap().trusts("8.8.8.8".parse().unwrap()));
    }
}
