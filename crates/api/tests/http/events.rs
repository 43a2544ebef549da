//! Following a run over a real socket: what comes, from where it goes on, and when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{Pace, State, Streams, WATCH_INTERVAL};
use async_trait::async_trait;
use axum::body::Body;
use domain::model::{ProvisioningRun, RunDetail};
use domain::permissions::{Cause, Object, Relationship, Update};
use domain::ports::{
    IdempotencyKey, NewRequest, Page, ProvisioningRuns, RequestAnswer, RetryAnswer, RetryRun, RunCounts, RunFilter, Written,
};
use futures::StreamExt as _;
use http::Request;
use saga::{RunId, StoreError};
use serde_json::{Value, json};
use testkit::contract::Exchange;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::world::{Answer, CONTRACT, User, World};

/// The same Berth on a socket.
struct Served {
    address: SocketAddr,
    streams: Streams,
    draining: CancellationToken,
}

impl Served {
    async fn new(world: &World, streams: Streams) -> Self {
        let mut state = State::new(world.berth.clone(), world.issuer.clone(), world.clock.clone());
        state.streams = streams.clone();
        let draining = state.draining.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(api::serve::serve(listener, api::router(state), draining.clone(), Duration::from_mins(1)));
        Self { address, streams, draining }
    }

    async fn follow(&self, user: &User, run: &str, last_event_id: Option<&str>) -> Feed {
        let path = format!("{run}/events");
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let id = last_event_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{id}\r\n", user.token);
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut feed = Feed { socket, raw: Vec::new(), text: String::new(), is_over: false, status: 0, headers: Vec::new() };
        let head = feed.until(b"\r\n\r\n").await;
        let mut lines = head.lines();
        feed.status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        feed.headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let length = feed.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        let body = feed.exactly(length).await;
        CONTRACT.hold(&Exchange { method: "GET", path: &path, status: feed.status, headers: &feed.headers, body: &body });
        feed
    }
}

/// A client's end of a stream.
struct Feed {
    socket: TcpStream,
    raw: Vec<u8>,
    text: String,
    is_over: bool,
    status: u16,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Frame {
    event: Option<String>,
    id: Option<i64>,
    data: Value,
}

impl Feed {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    async fn more(&mut self) {
        let mut some = [0; 4096];
        let n = self.socket.read(&mut some).await.unwrap();
        assert!(n > 0, "the connection broke off where a clean end was due");
        self.raw.extend_from_slice(&some[..n]);
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.raw.windows(end.len()).position(|w| w == end) {
                let found: Vec<u8> = self.raw.drain(..at + end.len()).collect();
                return String::from_utf8(found).unwrap();
            }
            self.more().await;
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.raw.len() < length {
            self.more().await;
        }
        self.raw.drain(..length).collect()
    }

    /// What comes between two blank lines, comments included; `None` at the clean end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                return Some(self.text.drain(..at + 2).collect());
            }
            if self.is_over {
                assert!(self.text.is_empty(), "the stream ends within an event: {}", self.text);
                return None;
            }
            let size = usize::from_str_radix(self.until(b"\r\n").await.trim(), 16).unwrap();
            let chunk = self.exactly(size).await;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            assert_eq!(self.exactly(2).await, b"\r\n");
            self.is_over = size == 0;
        }
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            if let Some(data) = field("data") {
                let data = serde_json::from_str(data).unwrap();
                return Some(Frame { event: field("event").map(str::to_owned), id: field("id").map(|id| id.parse().unwrap()), data });
            }
        }
    }

    async fn all(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}

/// Somebody with an account, and a run of his that stands at the held platform.
async fn held(world: &World) -> (User, String) {
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let run = world.create_workspace(&ada, account, "Sales").await.location();
    world.held(&ada, &run).await;
    (ada, run)
}

async fn ended(world: &World) -> (User, String, Answer) {
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let run = world.create_workspace(&ada, account, "Sales").await.location();
    let answer = world.ended(&ada, &run).await;
    (ada, run, answer)
}

async fn journal(world: &World, run: &str) -> RunDetail {
    let id = run.rsplit('/').next().unwrap().parse().unwrap();
    world.berth.runs.get(RunId(id)).await.unwrap().unwrap()
}

/// Yields until it is as wanted.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_is_followed_as_it_goes_and_the_stream_ends_with_it() {
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let served = Served::new(&world, Streams::default()).await;
    let mut feed = served.follow(&ada, &run, None).await;
    assert_eq!((feed.status, feed.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!((feed.header("cache-control"), feed.header("x-accel-buffering")), (Some("no-store"), Some("no")));
    let mut frames = Vec::new();
    while frames.len() < 6 {
        frames.push(feed.frame().await.unwrap());
    }
    assert_eq!(frames[0].data["type"], "run_started");
    assert_eq!((&frames[5].data["type"], &frames[5].data["state"]), (&json!("step_started"), &json!("running")));
    world.platform.release();
    frames.extend(feed.all().await);
    let kept = journal(&world, &run).await.journal;
    assert_eq!(
        frames.iter().map(|f| f.id.unwrap()).collect::<Vec<_>>(),
        kept.iter().map(|r| r.seq).collect::<Vec<_>>(),
        "no gap, no repeat"
    );
    let last = frames.last().unwrap();
    assert_eq!((&last.data["type"], &last.data["state"]), (&json!("ended"), &json!("succeeded")));
    for frame in &frames {
        let fields: Vec<&str> = frame.data.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = ["type", "step", "attempt", "state", "at", "error"];
        wanted.sort_unstable();
        let mut sorted = fields.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, wanted, "a projection, and nothing of outputs, details and actors");
    }
    let again = served.follow(&ada, &run, Some(&last.id.unwrap().to_string())).await;
    assert_eq!((again.status, again.header("content-type")), (204, None));
    until(|| served.streams.open() == 0).await;
}

#[tokio::test]
async fn from_any_id_it_goes_on_without_loss_or_repeat() {
    let world = World::new().await;
    let (ada, run, _) = ended(&world).await;
    let served = Served::new(&world, Streams::default()).await;
    let whole = served.follow(&ada, &run, Some("0")).await.all().await;
    assert!(whole.len() > 10);
    for (n, frame) in whole.iter().enumerate().take(whole.len() - 1) {
        let rest = served.follow(&ada, &run, Some(&frame.id.unwrap().to_string())).await.all().await;
        assert_eq!(rest, whole[n + 1..]);
    }
}

#[tokio::test]
async fn an_id_that_is_not_in_the_journal_resets_the_client_with_the_whole_run() {
    let world = World::new().await;
    let (ada, run, answer) = ended(&world).await;
    let served = Served::new(&world, Streams::default()).await;
    let frames = served.follow(&ada, &run, Some("4711")).await.all().await;
    let last = journal(&world, &run).await.journal.last().unwrap().seq;
    assert_eq!(frames, [Frame { event: Some("reset".to_owned()), id: Some(last), data: answer.json }]);
    assert_eq!(served.follow(&ada, &run, Some(&last.to_string())).await.status, 204);
    for bad in ["", "x", "-1", "1000000000000000000"] {
        let refused = served.follow(&ada, &run, Some(bad)).await;
        assert_eq!(refused.status, 400, "{bad:?}");
    }
}

#[tokio::test]
async fn a_client_that_was_reset_goes_on_with_what_comes_next() {
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let served = Served::new(&world, Streams::default()).await;
    let mut feed = served.follow(&ada, &run, Some("4711")).await;
    let reset = feed.frame().await.unwrap();
    assert_eq!((reset.event.as_deref(), &reset.data["state"]), (Some("reset"), &json!("running")));
    world.platform.release();
    let frames = feed.all().await;
    assert_eq!(frames[0].id, reset.id.map(|id| id + 1));
    assert_eq!(frames.last().unwrap().data["type"], "ended");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let served = Served::new(&world, Streams::new(10, Pace { recheck: Duration::from_millis(5), ..Pace::default() })).await;
    let mut feed = served.follow(&ada, &run, None).await;
    feed.frame().await.unwrap();
    world.now.fetch_add(i64::try_from(Duration::from_mins(61).as_micros()).unwrap(), Ordering::SeqCst);
    feed.all().await;
    assert_eq!(served.follow(&ada, &run, None).await.status, 401);
}

#[tokio::test]
async fn a_stream_ends_when_the_right_to_see_the_run_is_gone() {
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let auditor = world.user("auditor").await;
    world.relate(Object::platform(), "auditor", auditor.principal).await;
    let served = Served::new(&world, Streams::new(10, Pace { recheck: Duration::from_millis(5), ..Pace::default() })).await;
    let (mut kept, mut feed) = (served.follow(&ada, &run, None).await, served.follow(&auditor, &run, None).await);
    feed.frame().await.unwrap();
    let tuple = Relationship::new(Object::platform(), "auditor", auditor.principal.into());
    world.berth.permissions.write(&[Update::Delete(tuple)], &[], &Cause::Hand("test")).await.unwrap();
    feed.all().await;
    assert_eq!(served.follow(&auditor, &run, None).await.status, 404);
    kept.frame().await.unwrap();
    assert_eq!(served.streams.open(), 1, "that of who may still see it goes on");
}

#[tokio::test]
async fn a_stream_ends_cleanly_when_the_server_drains_and_when_its_time_is_over() {
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let served = Served::new(&world, Streams::default()).await;
    let mut feed = served.follow(&ada, &run, None).await;
    feed.frame().await.unwrap();
    served.draining.cancel();
    feed.all().await;
    let brief = Served::new(&world, Streams::new(10, Pace { longest: Duration::from_millis(1), ..Pace::default() })).await;
    brief.follow(&ada, &run, None).await.all().await;
}

#[tokio::test]
async fn a_client_that_is_gone_frees_its_place_and_there_are_so_many() {
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let served = Served::new(&world, Streams::new(1, Pace { heartbeat: Duration::from_millis(5), ..Pace::default() })).await;
    let mut feed = served.follow(&ada, &run, None).await;
    feed.frame().await.unwrap();
    let refused = served.follow(&ada, &run, None).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    while feed.block().await.unwrap() != ":\n\n" {
        // Comments keep the connection alive.
    }
    drop(feed);
    until(|| served.streams.open() == 0).await;
    assert_eq!(served.follow(&ada, &run, None).await.status, 200);
}

/// Counts what watchers ask the store.
struct Counting {
    runs: Arc<dyn ProvisioningRuns>,
    versions: AtomicUsize,
    gets: AtomicUsize,
}

#[async_trait]
impl ProvisioningRuns for Counting {
    async fn get(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.runs.get(id).await
    }
    async fn list(&self, accounts: Option<&[Uuid]>, filter: &RunFilter, page: Page) -> Result<Vec<ProvisioningRun>, StoreError> {
        self.runs.list(accounts, filter, page).await
    }
    async fn versions(&self, ids: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError> {
        self.versions.fetch_add(1, Ordering::SeqCst);
        self.runs.versions(ids).await
    }
    async fn request(&self, new: NewRequest) -> Result<Written<RequestAnswer>, StoreError> {
        self.runs.request(new).await
    }
    async fn retry(&self, new: RetryRun) -> Result<Written<RetryAnswer>, StoreError> {
        self.runs.retry(new).await
    }
    async fn recall(&self, key: &IdempotencyKey) -> Result<Written<()>, StoreError> {
        self.runs.recall(key).await
    }
    async fn counts(&self) -> Result<RunCounts, StoreError> {
        self.runs.counts().await
    }
}

#[tokio::test]
async fn a_thousand_watchers_cost_one_question_per_interval_and_one_reading_per_change() {
    const WATCHERS: usize = 1000;
    let world = World::new().await;
    let (ada, run) = held(&world).await;
    let counting = Arc::new(Counting { runs: world.berth.runs.clone(), versions: AtomicUsize::new(0), gets: AtomicUsize::new(0) });
    let mut berth = world.berth.clone();
    berth.runs = counting.clone();
    let router = api::router(State::new(berth, world.issuer.clone(), world.clock.clone()));
    let begun = Instant::now();
    let mut bodies = Vec::with_capacity(WATCHERS);
    for _ in 0..WATCHERS {
        let request = Request::get(format!("{run}/events")).header("authorization", format!("Bearer {}", ada.token)).body(Body::empty());
        let mut body = router.clone().oneshot(request.unwrap()).await.unwrap().into_body().into_data_stream();
        body.next().await.unwrap().unwrap();
        bodies.push(body);
    }
    let opened = counting.gets.load(Ordering::SeqCst);
    assert_eq!(opened, WATCHERS, "each request reads the run that it authorizes");
    world.platform.release();
    for mut body in bodies {
        let mut text = String::new();
        while let Some(chunk) = body.next().await {
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        assert!(text.contains(r#""type":"ended""#), "{text}");
    }
    let intervals = usize::try_from(begun.elapsed().as_millis() / WATCH_INTERVAL.as_millis()).unwrap();
    let asked = counting.versions.load(Ordering::SeqCst);
    assert!(asked <= intervals + 2, "{asked} questions in {intervals} intervals");
    let read = counting.gets.load(Ordering::SeqCst) - opened;
    assert!(read <= asked, "{read} readings, with {asked} looks for changes");
}
