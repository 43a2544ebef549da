//! Requests sent over as many connections as are wanted, each connection one request at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http::Client;
use super::refused;
use super::sample::{Sample, rate};
use crate::failure::Failure;

#[derive(Debug, Clone, Copy, Args)]
pub struct Traffic {
    /// How many connections send requests at once, each one at a time; with 1, one client alone.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// How many requests are measured.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: u32,
    /// Requests before the measured ones, for connections, caches and plans [default: a tenth of N, 1,000 at most].
    #[arg(long, value_name = "N")]
    warm_up: Option<u32>,
}

/// Makes the request of a number.
pub type Make = Arc<dyn Fn(u32) -> Arc<[u8]> + Send + Sync>;

pub struct Sent {
    pub elapsed: Duration,
    pub sample: Sample,
}

impl Traffic {
    pub fn warm_up(&self) -> u32 {
        self.warm_up.unwrap_or((self.requests / 10).min(1_000))
    }

    pub fn parameters(&self) -> [(&'static str, Value); 3] {
        [("clients", json!(self.clients)), ("requests", json!(self.requests)), ("warm_up", json!(self.warm_up()))]
    }

    /// Sends the requests with numbers below `warm_up` and, measured, those from there on.
    ///
    /// # Errors
    /// An answer is not `expected`, or a connection breaks.
    pub async fn send(&self, address: SocketAddr, make: &Make, expected: u16) -> Result<Sent, Failure> {
        let warm_up = self.warm_up();
        send(address, self.clients, 0..warm_up, make, expected).await?;
        send(address, self.clients, warm_up..warm_up + self.requests, make, expected).await
    }
}

async fn send(address: SocketAddr, clients: u32, numbers: std::ops::Range<u32>, make: &Make, expected: u16) -> Result<Sent, Failure> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::connect(address).await.map_err(refused)?);
    }
    let next = Arc::new(AtomicU32::new(numbers.start));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for mut client in connections {
        let (next, make) = (next.clone(), make.clone());
        tasks.spawn(async move {
            let (mut sample, mut said) = (Sample::default(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok(sample);
                }
                let request = make(number);
                said.clear();
                let began = Instant::now();
                let status = client.ask(&request, |piece| said.extend_from_slice(piece)).await.map_err(refused)?;
                sample.add(began.elapsed());
                if status != expected {
                    let said = String::from_utf8_lossy(&said);
                    return Err(Failure::new(format!("a request was answered {status} instead of {expected}: {said}")));
                }
            }
        });
    }
    let mut sample = Sample::default();
    while let Some(ended) = tasks.join_next().await {
        sample.append(ended.map_err(refused)??);
    }
    Ok(Sent { elapsed: began.elapsed(), sample })
}

impl Sent {
    /// What is told of every kind of request.
    pub fn figures(mut self) -> Vec<(&'static str, Value)> {
        let mut figures = vec![("requests_per_second", json!(rate(self.sample.len(), self.elapsed)))];
        figures.extend(self.sample.figures());
        figures.push(("seconds", json!(self.elapsed.as_secs_f64())));
        figures
    }
}

/// The text of a request, whose head is the same but for its path.
pub fn get(token: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// As [`get`], with a body and a key of its own, as a client sends it that wants to try again.
pub fn post(token: &str, path: &str, key: &str, body: &Value) -> Vec<u8> {
    with_body("POST", token, path, &format!("idempotency-key: {key}\r\n"), body)
}

/// A change, which comes to the same however often it is sent.
pub fn patch(token: &str, path: &str, body: &Value) -> Vec<u8> {
    with_body("PATCH", token, path, "", body)
}

fn with_body(method: &str, token: &str, path: &str, more: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{more}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
