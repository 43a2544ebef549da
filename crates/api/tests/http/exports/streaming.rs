//! How an export flows: no batch is handed on before the last one was taken, and each can be read at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::State;
use async_compression::tokio::write::GzipDecoder;
use async_trait::async_trait;
use axum::body::BodyDataStream;
use domain::model::{Export, ExportSection};
use domain::ports::{ExportBatch, ExportEnd, ExportPlan, ExportSink, Exports, NewExport, Place, Reading, Stopped};
use futures::StreamExt as _;
use saga::{StoreError, Time};
use testkit::bulk::append_entries;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::Scene;
use crate::world::Call;

/// Counts the batches that the database gave.
struct Watched {
    inner: Arc<dyn Exports>,
    given: Arc<AtomicUsize>,
}

struct Counting<'a> {
    inner: &'a mut dyn ExportSink,
    given: &'a AtomicUsize,
}

#[async_trait]
impl ExportSink for Counting<'_> {
    fn begin(&mut self, section: ExportSection) {
        self.inner.begin(section);
    }
    async fn take(&mut self, batch: ExportBatch) -> Result<(), Stopped> {
        self.given.fetch_add(1, Ordering::SeqCst);
        self.inner.take(batch).await
    }
}

#[async_trait]
impl Exports for Watched {
    fn place(&self) -> Option<Place> {
        self.inner.place()
    }
    async fn begin(&self, new: NewExport) -> Result<Time, StoreError> {
        self.inner.begin(new).await
    }
    async fn read(&self, plan: &ExportPlan, sink: &mut dyn ExportSink) -> Result<Reading, StoreError> {
        self.inner.read(plan, &mut Counting { inner: sink, given: &self.given }).await
    }
    async fn end(&self, end: ExportEnd) -> Result<(), StoreError> {
        self.inner.end(end).await
    }
    async fn get(&self, id: Uuid) -> Result<Option<Export>, StoreError> {
        self.inner.get(id).await
    }
}

async fn watched() -> (Scene, Arc<AtomicUsize>) {
    let mut scene = Scene::new().await;
    append_entries(&scene.world.test.db, scene.account, Some(scene.workspace), 5_000).await;
    let given = Arc::new(AtomicUsize::new(0));
    scene.world.berth.exports = Arc::new(Watched { inner: scene.world.berth.exports.clone(), given: given.clone() });
    scene.world.router = api::router(State::new(scene.world.berth.clone(), scene.world.issuer.clone(), scene.world.clock.clone()));
    (scene, given)
}

async fn body(scene: &Scene, accept: &str) -> BodyDataStream {
    let call = Call::get(&scene.path("?format=ndjson&include=audit")).user(&scene.ada).header("accept-encoding", accept);
    scene.world.raw(call).await.into_body().into_data_stream()
}

/// Gives every other task all the turns it could want.
async fn everybody_else() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_next_batch_is_handed_on_when_the_last_one_was_taken() {
    let (scene, given) = watched().await;
    let mut body = body(&scene, "identity").await;
    everybody_else().await;
    assert_eq!(given.load(Ordering::SeqCst), 1, "nobody has taken anything");
    let mut taken = 0;
    while let Some(piece) = body.next().await {
        taken += piece.unwrap().len();
        // A batch is about half a mebibyte: what was given is never more than one ahead of what was taken.
        let bound = taken / 300_000 + 2;
        assert!(given.load(Ordering::SeqCst) <= bound, "{} batches for {taken} bytes", given.load(Ordering::SeqCst));
    }
    assert_eq!(given.load(Ordering::SeqCst), 11);
}

#[tokio::test]
async fn a_batch_can_be_decompressed_before_the_next_one_is_read() {
    let (scene, given) = watched().await;
    let mut body = body(&scene, "gzip").await;
    let mut decoder = GzipDecoder::new(Vec::new());
    let mut lines = 0;
    while lines < 500 {
        assert_eq!(given.load(Ordering::SeqCst), 1);
        decoder.write_all(&body.next().await.unwrap().unwrap()).await.unwrap();
        decoder.flush().await.unwrap();
        lines = decoder.get_ref().split(|b| *b == b'\n').count() - 1;
    }
    assert_eq!(lines, 500, "the whole first batch, and nothing else");
}
