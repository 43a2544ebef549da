//! What a provider publishes: its configuration, and through it its keys.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Url};
use serde_json::Value;

use super::Unusable;
use super::cache::Source;

/// For all of a question, answer included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A longer answer is refused; those of real providers are a few kilobytes.
const BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 100;

/// A provider that is asked over HTTP.
pub struct Published {
    issuer: String,
    asked: Asked,
    http: Client,
}

/// What is asked first.
#[derive(Clone)]
enum Asked {
    Configuration(Url),
    Keys(Url),
}

impl Published {
    pub fn new(issuer: &str, keys: Option<&str>) -> Result<Self, Unusable> {
        let usable = |text: &str| url(text).map_err(|e| Unusable(format!("`{text}` {e}")));
        let (asked, first) = match keys {
            Some(keys) => usable(keys).map(|url| (Asked::Keys(url.clone()), url))?,
            None => usable(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
                .map(|url| (Asked::Configuration(url.clone()), url))?,
        };
        let mut http = Client::builder().user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")));
        // Who is asked is what the settings say, and not whom an answer points to.
        http = http.redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
        if is_here(&first) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| Unusable(format!("requests cannot be made: {}", cause(&e))))?;
        Ok(Self { issuer: issuer.to_owned(), asked, http })
    }

    /// Where the configuration says that the keys are.
    async fn configured(&self, configuration: Url) -> Result<Url, String> {
        let configuration = self.get(configuration).await?;
        if configuration["issuer"].as_str() != Some(&self.issuer) {
            return Err(format!("the configuration is that of the issuer {}", configuration["issuer"]));
        }
        let keys = configuration["jwks_uri"].as_str().ok_or("the configuration names no `jwks_uri`")?;
        url(keys).map_err(|e| format!("`jwks_uri` {e}"))
    }

    async fn get(&self, url: Url) -> Result<Value, String> {
        let mut response = self.http.get(url.clone()).send().await.map_err(|e| cause(&e))?;
        if !response.status().is_success() {
            return Err(format!("{url} answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| cause(&e))? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(format!("{url} answers with more than {BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|e| format!("{url} answers with what is no JSON: {e}"))
    }
}

#[async_trait]
impl Source for Published {
    async fn fetch(&self) -> Result<Vec<Value>, String> {
        let keys = match self.asked.clone() {
            Asked::Keys(url) => url,
            Asked::Configuration(url) => self.configured(url).await?,
        };
        let Value::Array(keys) = self.get(keys.clone()).await?["keys"].take() else {
            return Err(format!("{keys} answers without `keys`"));
        };
        if keys.len() > KEYS_MAX {
            return Err(format!("there are more than {KEYS_MAX} keys"));
        }
        Ok(keys)
    }
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("is no URL: {e}"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here(&url) => Ok(url),
        _ => Err("has to begin with https://: whoever can change what it answers can be anybody".to_owned()),
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An error with what it came from.
fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_over_https_or_from_this_machine() {
        for good in
            ["https://id.example.com", "https://id.example.com/realms/a/", "http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"]
        {
            assert!(Published::new(good, None).is_ok() && Published::new("any", Some(good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "id.example.com",
            "http://id.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "file:///etc",
        ] {
            assert!(Published::new(bad, None).is_err() && Published::new("https://id.example.com", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_configuration_stands_below_the_issuer() {
        for issuer in ["https://id.example.com/realms/a", "https://id.example.com/realms/a/"] {
            let Asked::Configuration(url) = Published::new(issuer, None).unwrap().asked else { panic!("it is asked") };
            assert_eq!(url.as_str(), "https://id.example.com/realms/a/.well-known/openid-configuration");
        }
    }
}
