//! One HTTP request and its answer; a refusal becomes a `Stop` with the server's problem in it.
//!
//! What is safe to send again (reads, and POSTs under an idempotency key) is sent again when the connection is lost or a
//! part of the service is away.

use std::fmt::Display;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;
use uuid::Uuid;

use super::document::Document;
use super::exit::Exit;
use super::output::say;
use super::profile::Access;
use super::stop::Stop;

/// How often a request that is safe to send again is sent.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A server that wants more patience than this is told of instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence; a long poll waits up to 60 s.
const SILENCE: Duration = Duration::from_secs(90);
/// The largest page of a list.
const PAGE: usize = 1000;

/// Talks to one Berth as one caller.
pub struct Client {
    http: reqwest::Client,
    access: Access,
}

/// A 2xx or 304.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Document,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A page or several of a list, and whether there is more.
pub struct Listed {
    pub items: Vec<Document>,
    pub more: bool,
}

impl Client {
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub fn new(access: Access) -> Result<Self, Stop> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("berth-cli/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|e| {
                Stop::new(Exit::Failed, format!("requests cannot be made: {}", cause(&e)), "Are the machine's certificates in place?")
            })?;
        Ok(Self { http, access })
    }

    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// The account that the environment or the profile names.
    pub fn account(&self) -> Option<&str> {
        self.access.account.as_deref()
    }

    pub fn get(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::GET, path)
    }

    /// A POST under an idempotency key of its own.
    pub fn post(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::POST, path).key(Uuid::now_v7().to_string())
    }

    pub fn request(&self, method: Method, path: impl Into<String>) -> Request<'_> {
        Request { client: self, method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: None, key: None, tries: TRIES }
    }
}

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one part of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A request under construction.
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    key: Option<String>,
    tries: u32,
}

impl Request<'_> {
    /// Leaves it to the caller to try again.
    pub fn only_once(mut self) -> Self {
        self.tries = 1;
        self
    }

    pub fn query(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// A parameter, if there is a value for it.
    pub fn maybe(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// The server refuses, cannot be reached, or is not Berth.
    pub async fn send(self) -> Result<Answer, Stop> {
        let client = self.client;
        let (status, headers, text) = {
            let response = self.stream().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            (status, headers, response.text().await.map_err(|e| client.lost(&e, true))?)
        };
        if text.is_empty() {
            return Ok(Answer { status, headers, body: Document::default() });
        }
        let body = Document::parse(text).map_err(|_| {
            Stop::new(
                Exit::Failed,
                format!("{} does not answer like Berth", client.url()),
                "Is BERTH_URL right, and is there a proxy on the way?",
            )
        })?;
        Ok(Answer { status, headers, body })
    }

    /// Sends it and leaves the answer's body to the caller.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub async fn stream(self) -> Result<Response, Stop> {
        let safe = self.method == Method::GET || self.key.is_some();
        let mut pause = FIRST_PAUSE;
        let mut tried = 0;
        loop {
            tried += 1;
            let (stop, wait) = match self.once().await {
                Ok(response) if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED => return Ok(response),
                Ok(response) => {
                    let wait = retry_after(response.headers()).unwrap_or(pause);
                    let stop = self.client.problem(response).await;
                    if stop.exit() != Exit::Unavailable && stop.code() != Some("idempotency_key_busy") {
                        return Err(stop);
                    }
                    (stop, wait)
                }
                // Nobody listens there: a read has not waited for anything worth another try.
                Err(e) if e.is_connect() && self.key.is_none() => return Err(self.client.lost(&e, true)),
                Err(e) => (self.client.lost(&e, safe || e.is_connect()), pause),
            };
            if !safe || tried == self.tries || wait > LONGEST_PAUSE {
                return Err(stop);
            }
            say(&format!("berth: {}; trying again in {} s\n", stop.title(), wait.as_secs_f32()));
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
    }

    async fn once(&self) -> Result<Response, reqwest::Error> {
        let url = format!("{}{}", self.client.url(), self.path);
        let mut request = self.client.http.request(self.method.clone(), url).bearer_auth(self.client.access.token.reveal());
        if !self.query.is_empty() {
            request = request.query(&self.query);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(key) = &self.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        request.send().await
    }

    /// Reads pages until there are `most` items, or no more.
    ///
    /// # Errors
    /// As `send`.
    pub async fn pages(self, most: Option<usize>) -> Result<Listed, Stop> {
        self.pages_while(most, |_| true).await
    }

    /// The same, up to the first item that is not `wanted`.
    ///
    /// # Errors
    /// As `send`.
    pub async fn pages_while(self, most: Option<usize>, wanted: impl Fn(&Value) -> bool) -> Result<Listed, Stop> {
        let mut listed = Listed { items: Vec::new(), more: true };
        let mut cursor: Option<String> = None;
        while listed.more && most.is_none_or(|most| listed.items.len() < most) {
            let limit = most.map_or(PAGE, |most| most - listed.items.len()).min(PAGE);
            let mut request = self.client.get(self.path.clone()).query("limit", limit).maybe("cursor", cursor.take());
            request.query.extend(self.query.iter().cloned());
            let answer = request.send().await?;
            cursor = answer.header("link").and_then(next_cursor);
            listed.more = cursor.is_some();
            let items = answer.body.items();
            let enough = items.iter().position(|item| !wanted(item)).unwrap_or(items.len());
            listed.more &= enough == items.len();
            listed.items.extend(items.into_iter().take(enough));
        }
        Ok(listed)
    }
}

impl Client {
    /// The problem that an answer carries; an answer of somebody in between becomes one.
    async fn problem(&self, response: Response) -> Stop {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let problem = match Document::parse(text) {
            Ok(problem) if problem["title"].is_string() && problem["status"].is_u64() => problem,
            _ => Document::from([
                ("type", "about:blank".into()),
                ("title", format!("The server answered {status}, not as Berth does").into()),
                ("status", status.as_u16().into()),
                ("detail", "Is BERTH_URL right, and is there a proxy on the way?".into()),
                ("code", "not_berth".into()),
            ]),
        };
        Stop::Problem { problem, url: self.url().to_owned() }
    }

    /// No answer, or half of one. `harmless` tells that nothing can have been done.
    fn lost(&self, e: &reqwest::Error, harmless: bool) -> Stop {
        let cause = cause(e);
        let title = format!("cannot reach {}: {cause}", self.url());
        if cause.contains("certificate") {
            let advice =
                "Its certificate has to be signed by an authority that this machine trusts; SSL_CERT_FILE may name a file of others.";
            return Stop::new(Exit::Unavailable, title, advice);
        }
        if cause.contains("InvalidContentType") {
            let title = format!("cannot reach {}: what answers there does not speak TLS", self.url());
            return Stop::new(Exit::Unavailable, title, "Is its address http:// instead of https://?");
        }
        let detail = match (harmless, e.is_connect()) {
            (true, true) => "Is it running there, and is BERTH_URL right?",
            (true, false) => "Try again in a moment.",
            (false, _) => "It may have been done or not: look before you send it again.",
        };
        Stop::new(Exit::Unavailable, title, detail)
    }
}

/// What lies below an error, in its own words.
fn cause(e: &dyn std::error::Error) -> String {
    let mut deepest = e;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The cursor of `Link: <...>; rel="next"`.
fn next_cursor(link: &str) -> Option<String> {
    let target = link.split(',').find(|one| one.contains("rel=\"next\""))?.split('<').nth(1)?.split('>').next()?;
    let url = Url::parse("http://berth.invalid").ok()?.join(target).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_taken_from_the_link_that_leads_on() {
        let link = r#"</v1/workspaces?limit=2&cursor=a%2Fb>; rel="next""#;
        assert_eq!(next_cursor(link).as_deref(), Some("a/b"));
        assert_eq!(next_cursor(r#"<https://b.example/v1/x?cursor=c>; rel="next""#).as_deref(), Some("c"));
        assert_eq!(next_cursor(r#"</v1/x?cursor=c>; rel="prev""#), None);
    }

    #[test]
    fn a_name_is_one_part_of_a_path_whatever_is_in_it() {
        assert_eq!(segment("a/b ü?"), "a%2Fb%20%C3%BC%3F");
    }
}
