//! A server that says what it is told to, for what a real one does not do on demand.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::caller::Caller;

/// How one request is answered.
pub enum Reply {
    /// These bytes, then the connection is closed.
    Bytes(String),
    /// These bytes, and nothing more as long as the client stays.
    Hanging(String),
}

/// An answer of JSON.
pub fn json(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    ))
}

pub struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    /// Tells of each reply that has gone out.
    replied: UnboundedReceiver<()>,
}

impl Scripted {
    /// Answers requests in this order; whoever asks once more is not answered.
    pub async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tells, replied) = unbounded_channel();
        let heard = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut hanging = Vec::new();
            for reply in script {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let asked = read(&mut stream).await;
                heard.lock().unwrap().push(asked);
                let (Reply::Bytes(text) | Reply::Hanging(text)) = &reply;
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.flush().await;
                if matches!(reply, Reply::Hanging(_)) {
                    hanging.push(stream);
                }
                let _ = tells.send(());
            }
            std::future::pending::<()>().await;
        });
        Self { url, requests, replied }
    }

    pub fn caller(&self) -> Caller {
        Caller::default().with("BERTH_URL", &self.url).with("BERTH_TOKEN", "t")
    }

    /// The requests as they came, heads in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns when another reply has gone out.
    pub async fn replied(&mut self) {
        self.replied.recv().await.unwrap();
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return format!("{head}\n\n{body}");
            }
        }
        match stream.read(&mut piece).await {
            Ok(n @ 1..) => text.extend_from_slice(&piece[..n]),
            _ => return whole,
        }
    }
}

/// The value of a header in a request.
pub fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
