//! Exports that break off: over a real socket, where a client can tell a broken answer from a whole one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{ExportOptions, State};
use async_trait::async_trait;
use domain::model::{Export, ExportSection};
use domain::ports::{ExportBatch, ExportEnd, ExportPlan, ExportSink, Exports, NewExport, Place, Reading, Stopped};
use saga::{StoreError, Time};
use serde_json::json;
use testkit::bulk::append_entries;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::Scene;

/// What ends a chunked answer.
const CLEAN_END: &str = "\r\n0\r\n\r\n";

/// Exports that go wrong after some batches.
struct Breaking {
    inner: Arc<dyn Exports>,
    after: usize,
    how: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Database,
    Panic,
    /// Only the receipt cannot be completed.
    Receipt,
}

struct Counting<'a> {
    inner: &'a mut dyn ExportSink,
    left: usize,
    how: Fault,
}

#[async_trait]
impl ExportSink for Counting<'_> {
    fn begin(&mut self, section: ExportSection) {
        self.inner.begin(section);
    }

    async fn take(&mut self, batch: ExportBatch) -> Result<(), Stopped> {
        if self.left == 0 && self.how != Fault::Receipt {
            assert!(self.how != Fault::Panic, "told to");
            return Err(Stopped);
        }
        self.left = self.left.saturating_sub(1);
        self.inner.take(batch).await
    }
}

#[async_trait]
impl Exports for Breaking {
    fn place(&self) -> Option<Place> {
        self.inner.place()
    }
    async fn begin(&self, new: NewExport) -> Result<Time, StoreError> {
        self.inner.begin(new).await
    }
    async fn read(&self, plan: &ExportPlan, sink: &mut dyn ExportSink) -> Result<Reading, StoreError> {
        let mut counting = Counting { inner: sink, left: self.after, how: self.how };
        match self.inner.read(plan, &mut counting).await? {
            Reading::Stopped if self.how == Fault::Database => Err(StoreError::Unavailable("the database went away".to_owned())),
            reading => Ok(reading),
        }
    }
    async fn end(&self, end: ExportEnd) -> Result<(), StoreError> {
        if self.how == Fault::Receipt && end.complete {
            return Err(StoreError::Unavailable("the database went away".to_owned()));
        }
        self.inner.end(end).await
    }
    async fn get(&self, id: Uuid) -> Result<Option<Export>, StoreError> {
        self.inner.get(id).await
    }
}

/// A server on a socket, as long as this lives.
struct Served {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Served {
    async fn new(scene: &Scene, exports: Arc<dyn Exports>, patience: Duration) -> Self {
        let mut berth = scene.world.berth.clone();
        berth.exports = exports;
        let mut state = State::new(berth, scene.world.issuer.clone(), scene.world.clock.clone());
        state.exports = ExportOptions { slow_reader_timeout: patience, ..ExportOptions::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(api::serve::serve(listener, api::router(state), stop.clone(), Duration::from_secs(1)));
        Self { address, _stop: stop.drop_guard() }
    }

    /// A connection that has asked for an export.
    async fn ask(&self, scene: &Scene, query: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", scene.path(query), scene.ada.token);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// Reads until the answer's head is there.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        text.extend(byte);
    }
    String::from_utf8(text).unwrap()
}

fn export_id(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("export-id: ")).unwrap_or_else(|| panic!("{head}")).to_owned()
}

/// What comes until the server closes the connection, and whether it reset it.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

const PATIENT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_whole_answer_ends_cleanly_and_the_connection_can_be_used_again() {
    let scene = Scene::new().await;
    let served = Served::new(&scene, scene.world.berth.exports.clone(), PATIENT).await;
    let mut stream = served.ask(&scene, "?format=csv&include=workspace").await;
    for _ in 0..2 {
        let id = export_id(&head(&mut stream).await);
        let mut text = Vec::new();
        while !text.ends_with(CLEAN_END.as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            text.extend(byte);
        }
        assert_eq!(scene.receipt(&id).await["complete"], true, "the receipt is complete before the answer ends");
        let again =
            format!("GET {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", scene.path("?include=workspace"), scene.ada.token);
        stream.write_all(again.as_bytes()).await.unwrap();
    }
}

/// Catches an answer that ends like a whole one although it is not: the worst that an export can do.
#[tokio::test]
async fn an_error_after_the_head_breaks_the_connection_off() {
    let scene = Scene::new().await;
    append_entries(&scene.world.test.db, scene.account, Some(scene.workspace), 2_000).await;
    for (how, why) in [(Fault::Database, "failed"), (Fault::Panic, ""), (Fault::Receipt, "")] {
        for format in ["csv", "json", "ndjson"] {
            let exports = Arc::new(Breaking { inner: scene.world.berth.exports.clone(), after: 2, how });
            let served = Served::new(&scene, exports, PATIENT).await;
            let mut stream = served.ask(&scene, &format!("?format={format}&include=audit")).await;
            let head = head(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("transfer-encoding: chunked"), "{head}");
            let body = rest(&mut stream).await;
            assert!(body.len() > 100_000, "there was something before it broke off");
            assert!(!body.ends_with(CLEAN_END), "a clean end of a broken {format}");
            let id = export_id(&head);
            if why.is_empty() {
                assert_eq!(scene.receipt(&id).await["complete"], false);
            } else {
                let receipt = scene.ended(&id).await;
                assert_eq!((&receipt["complete"], receipt["rows"].as_u64() > Some(500)), (&json!(false), true));
                assert_eq!(scene.audit(1).await[0]["after"]["aborted"], json!(why));
            }
        }
    }
}

/// Returns once no connection to the database is in use.
async fn all_free(scene: &Scene) {
    while scene.world.test.db.in_use() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_who_goes_away_frees_the_connection_to_the_database() {
    let scene = Scene::new().await;
    append_entries(&scene.world.test.db, scene.account, Some(scene.workspace), 20_000).await;
    let served = Served::new(&scene, scene.world.berth.exports.clone(), PATIENT).await;
    let mut stream = served.ask(&scene, "?format=ndjson&include=audit").await;
    let id = export_id(&head(&mut stream).await);
    assert!(scene.world.test.db.in_use() > 0, "an export holds a connection");
    drop(stream);
    let receipt = scene.ended(&id).await;
    assert_eq!((&receipt["complete"], receipt["bytes"].as_u64() < Some(20_000_000)), (&json!(false), true));
    assert_eq!(scene.audit(1).await[0]["after"]["aborted"], json!("reader_gone"));
    all_free(&scene).await;
}

#[tokio::test]
async fn a_reader_who_does_not_read_is_cut_off() {
    let scene = Scene::new().await;
    append_entries(&scene.world.test.db, scene.account, Some(scene.workspace), 20_000).await;
    let served = Served::new(&scene, scene.world.berth.exports.clone(), Duration::from_millis(300)).await;
    let mut stream = served.ask(&scene, "?format=ndjson&include=audit").await;
    let id = export_id(&head(&mut stream).await);
    let receipt = scene.ended(&id).await;
    assert_eq!(receipt["complete"], false);
    assert_eq!(scene.audit(1).await[0]["after"]["aborted"], json!("reader_too_slow"));
    all_free(&scene).await;
    // What was on its way may still arrive; then the connection is over, without an end.
    assert!(!rest(&mut stream).await.ends_with(CLEAN_END));
}
