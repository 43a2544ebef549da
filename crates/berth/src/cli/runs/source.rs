//! How a run goes, from the server: its events as they happen, resumed where the connection is lost; long polls where
//! there are no events to be had.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::document::Document;
use crate::cli::exit::Exit;
use crate::cli::output::say;
use crate::cli::sse::{Event, Parser};
use crate::cli::stop::Stop;

/// How often in a row the server may be away.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// What is new of a run.
pub struct News {
    /// The run as it is now.
    pub run: Document,
    /// What has happened; `None` where only the run itself is to be had.
    pub events: Option<Vec<Value>>,
    /// Nothing comes after it.
    pub is_last: bool,
}

pub struct Source<'a> {
    client: &'a Client,
    path: String,
    /// The version that was last seen.
    tag: Option<String>,
    last_id: Option<String>,
    open: Option<(Response, Parser)>,
    /// There are no events to be had.
    polls: bool,
    away: u32,
}

impl<'a> Source<'a> {
    pub fn new(client: &'a Client, run: &str) -> Self {
        let path = format!("/v1/provisioning-runs/{run}");
        Self { client, path, tag: None, last_id: None, open: None, polls: false, away: 0 }
    }

    /// Waits for news. A server that is away for a while is waited for.
    ///
    /// # Errors
    /// The run may not be seen, or the server stays away.
    pub async fn next(&mut self) -> Result<News, Stop> {
        loop {
            let news = if self.polls { self.poll().await } else { self.listen().await };
            match news {
                Ok(None) => {}
                Ok(Some(news)) => {
                    self.away = 0;
                    return Ok(news);
                }
                // The first look is not repeated: nobody may be there at all.
                Err(stop) if stop.exit() == Exit::Unavailable && self.tag.is_some() && self.away < TRIES => {
                    if self.away == 0 {
                        say(&format!("berth: {}; waiting for it to come back\n", stop.title()));
                    }
                    self.away += 1;
                    self.open = None;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Another version of the run than the one last seen; `None` if the time is up.
    async fn poll(&mut self) -> Result<Option<News>, Stop> {
        let mut request = self.client.get(&self.path);
        if let Some(tag) = &self.tag {
            request = request.query("wait", "30s").header("If-None-Match", tag);
        }
        let answer = request.send().await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        self.tag = answer.header("etag").map(str::to_owned);
        let is_last = answer.body["terminal"] == true;
        Ok(Some(News { run: answer.body, events: None, is_last }))
    }

    async fn run(&mut self) -> Result<Document, Stop> {
        let answer = self.client.get(&self.path).send().await?;
        self.tag = answer.header("etag").map(str::to_owned);
        Ok(answer.body)
    }

    /// The next events; `None` if the stream ended before the run did.
    async fn listen(&mut self) -> Result<Option<News>, Stop> {
        if self.open.is_none() {
            let mut request = self.client.get(format!("{}/events", self.path)).header("Accept", "text/event-stream").only_once();
            if let Some(id) = &self.last_id {
                request = request.header("Last-Event-ID", id);
            }
            match request.stream().await {
                Ok(response) if response.status() == StatusCode::NO_CONTENT => {
                    return Ok(Some(News { run: self.run().await?, events: Some(Vec::new()), is_last: true }));
                }
                Ok(response) if is_stream(&response) => self.open = Some((response, Parser::default())),
                Ok(_) => self.polls = true,
                // An older server, or one with too many streams.
                Err(stop) if matches!(stop.code(), Some("route_not_found" | "too_many_streams")) => self.polls = true,
                Err(stop) => return Err(stop),
            }
        }
        let Some((response, parser)) = &mut self.open else { return Ok(None) };
        match response.chunk().await {
            Ok(Some(piece)) => {
                let events = parser.push(&piece);
                if events.is_empty() { Ok(None) } else { self.news(events.into()).await.map(Some) }
            }
            // It ends now and then, and is taken up where it ended.
            Ok(None) => {
                self.open = None;
                Ok(None)
            }
            // What comes between may hold streams back: polls get through.
            Err(_) => {
                self.open = None;
                self.polls = self.last_id.is_none();
                Ok(None)
            }
        }
    }

    async fn news(&mut self, mut told: VecDeque<Event>) -> Result<News, Stop> {
        let mut events = Vec::new();
        let mut is_last = false;
        while let Some(event) = told.pop_front() {
            self.last_id = event.id.or(self.last_id.take());
            let Ok(data) = serde_json::from_str::<Value>(&event.data) else { continue };
            if event.kind == "reset" {
                // What has happened meanwhile is not told: the run itself is.
                is_last = data["terminal"] == true;
                continue;
            }
            is_last |= data["type"] == "ended";
            events.push(data);
        }
        Ok(News { run: self.run().await?, events: Some(events), is_last })
    }
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}
