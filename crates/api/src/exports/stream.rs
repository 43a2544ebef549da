//! From the database's transaction to the socket, and back: while the reader takes a batch the next one is read, and no more.
//!
//! A task of its own reads, words, compresses and hands over piece by piece. It ends as soon as nobody listens any more, and
//! gives up a reader who takes too long. Whatever happens, the answer ends cleanly only if the export is whole and its
//! receipt says so; otherwise the connection breaks off, so that no client can take a part for the whole.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use domain::exports::{Abort, Started, Wanted, Written};
use domain::model::{Export, ExportSection, Workspace as Exported};
use domain::ports::{ExportBatch, ExportSink, Reading, Stopped, StoredEntry};
use domain::{Berth, Caller, Error};
use saga::StoreError;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{self, Sender};
use tracing::Instrument as _;
use uuid::Uuid;

use super::columns::Kind;
use super::compression::Encoder;
use super::render::Renderer;
use super::{Encoding, records};
use crate::members::Member;
use crate::problem::{Code, Problem};
use crate::serve::Hangup;
use crate::workspaces::Workspace;
use crate::workspaces::environments::Environment;

/// The most bytes that go to the socket at once.
const PIECE: usize = 64 * 1024;

/// An export whose first piece is there.
pub struct Opened {
    pub export: Export,
    pub workspace: Exported,
    pub body: Body,
}

/// What the reading task tells the answering one.
enum Piece {
    Started(Box<(Export, Exported)>),
    Bytes(Bytes),
    /// It is whole, and on record.
    End,
    Failed(Error),
}

/// How the pieces go out.
pub struct Delivery {
    pub encoding: Encoding,
    /// The longest that the reader may take over one of them.
    pub patience: Duration,
    /// Cuts off the reader who takes longer.
    pub hangup: Option<Hangup>,
}

/// Starts an export and waits for its first piece, so that what goes wrong before it is answered as what it is.
///
/// # Errors
/// Refusals and outages.
pub async fn open(berth: Berth, caller: Caller, workspace: Uuid, wanted: Wanted, delivery: Delivery) -> Result<Opened, Problem> {
    // One place: it is free when the reader has taken what was in it.
    let (sender, mut pieces) = mpsc::channel(1);
    // A task of its own: the request may be dropped at any moment, and an export that has started must be seen to its end.
    tokio::spawn(export(berth, caller, workspace, wanted, delivery, sender).in_current_span());
    let vanished = || Problem::of(Code::InternalError);
    let (export, workspace) = match pieces.recv().await {
        Some(Piece::Started(started)) => *started,
        Some(Piece::Failed(error)) => return Err(error.into()),
        Some(Piece::Bytes(_) | Piece::End) | None => return Err(vanished()),
    };
    let first = match pieces.recv().await {
        Some(Piece::Failed(error)) => return Err(error.into()),
        Some(first) => first,
        None => return Err(vanished()),
    };
    let rest = futures::stream::unfold((Some(first), pieces), |(first, mut pieces)| async move {
        let piece = match first {
            Some(first) => Some(first),
            None => pieces.recv().await,
        };
        match piece {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), (None, pieces))),
            Some(Piece::End) => None,
            Some(Piece::Failed(error)) => {
                tracing::warn!(cause = %error, "an export broke off");
                Some((Err(io::Error::other("the export broke off")), (None, pieces)))
            }
            // The task gave up the reader, or panicked: never a clean end.
            Some(Piece::Started(_)) | None => Some((Err(io::Error::other("the export broke off")), (None, pieces))),
        }
    });
    Ok(Opened { export, workspace, body: Body::from_stream(rest) })
}

/// Why no more is written.
enum Halt {
    Gone,
    Slow,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Failed(StoreError::Broken(format!("a record cannot be written: {error}")).into())
    }
}

impl From<serde_json::Error> for Halt {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}

async fn export(berth: Berth, caller: Caller, workspace: Uuid, wanted: Wanted, delivery: Delivery, sender: Sender<Piece>) {
    let started = match domain::exports::start(&berth, &caller, workspace, wanted).await {
        Ok(started) => started,
        Err(error) => {
            // Nobody may be listening any more; nothing has begun.
            let _ = sender.send(Piece::Failed(error)).await;
            return;
        }
    };
    let mut writer = Writer::new(berth.clone(), &started, &delivery, sender.clone());
    let halt = writer.write(&started).await.err();
    let written = writer.written();
    drop(writer);
    let abort = match &halt {
        None => None,
        Some(Halt::Gone) => Some(Abort::ReaderGone),
        Some(Halt::Slow) => Some(Abort::ReaderTooSlow),
        Some(Halt::Failed(_)) => Some(Abort::Failed),
    };
    let outcome = abort.map_or("complete", Abort::word);
    metrics::counter!("exports_total", "format" => started.export.format.as_str(), "outcome" => outcome).increment(1);
    match halt {
        Some(Halt::Slow) => delivery.hangup.iter().for_each(Hangup::hang_up),
        Some(Halt::Failed(error)) => {
            let _ = tokio::time::timeout(delivery.patience, sender.send(Piece::Failed(error))).await;
        }
        Some(Halt::Gone) | None => {}
    }
    let ended = domain::exports::end(&berth, &caller, &started, written, abort).await;
    match ended {
        // The last piece has been taken: there is room for the end.
        Ok(()) if abort.is_none() => drop(sender.send(Piece::End).await),
        Ok(()) => {}
        Err(error) if abort.is_none() => drop(sender.send(Piece::Failed(error)).await),
        Err(error) => tracing::warn!(cause = %error, export = %started.export.id, "how an export ended could not be recorded"),
    }
}

/// Words the batches and hands them over.
struct Writer {
    berth: Berth,
    renderer: Renderer,
    encoder: Encoder,
    digest: Sha256,
    bytes: u64,
    patience: Duration,
    sender: Sender<Piece>,
    halt: Option<Halt>,
}

impl Writer {
    fn new(berth: Berth, started: &Started, delivery: &Delivery, sender: Sender<Piece>) -> Self {
        Self {
            berth,
            renderer: Renderer::new(started.export.format, started.export.csv_safe),
            encoder: Encoder::new(delivery.encoding),
            digest: Sha256::new(),
            bytes: 0,
            patience: delivery.patience,
            sender,
            halt: None,
        }
    }

    fn written(&self) -> Written {
        Written { rows: self.renderer.rows(), bytes: self.bytes, sha256: self.sha256() }
    }

    fn sha256(&self) -> String {
        let digest = self.digest.clone().finalize();
        digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    async fn write(&mut self, started: &Started) -> Result<(), Halt> {
        self.push(Piece::Started(Box::new((started.export.clone(), started.workspace.clone())))).await?;
        self.renderer.open();
        let plan = started.plan(self.patience);
        let (exports, listening) = (self.berth.exports.clone(), self.sender.clone());
        // A reader who has gone frees the connection at once, whatever the database is at.
        let reading = tokio::select! {
            () = listening.closed() => return Err(Halt::Gone),
            reading = exports.read(&plan, self) => reading,
        };
        match reading.map_err(Error::from)? {
            Reading::Whole => {}
            Reading::Stopped => return Err(self.halt.take().unwrap_or(Halt::Gone)),
        }
        // All that is left of a small export, so that the digest is over all that comes before its end.
        self.hand_over().await?;
        self.renderer.close(&self.sha256());
        self.hand_over().await?;
        let last = self.encoder.finish().await?;
        self.send(last).await
    }

    /// Gives what is written so far to the reader, and returns when he has taken it.
    async fn hand_over(&mut self) -> Result<(), Halt> {
        let text = self.renderer.take();
        self.digest.update(&text);
        self.bytes += text.len() as u64;
        let bytes = self.encoder.encode(text).await?;
        self.send(bytes).await
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Halt> {
        let mut bytes = Bytes::from(bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.push(Piece::Bytes(piece)).await?;
        }
        self.room().await.map(drop)
    }

    async fn push(&mut self, piece: Piece) -> Result<(), Halt> {
        self.room().await?.send(piece);
        Ok(())
    }

    /// Waits until the reader has taken the piece before.
    async fn room(&self) -> Result<mpsc::Permit<'_, Piece>, Halt> {
        match tokio::time::timeout(self.patience, self.sender.reserve()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Halt::Gone),
            Err(_) => Err(Halt::Slow),
        }
    }

    async fn batch(&mut self, batch: ExportBatch) -> Result<(), Halt> {
        match batch {
            ExportBatch::Workspace(workspace) => {
                self.renderer.record(Kind::Workspace, &records::text(&Workspace::from(*workspace))?)?;
            }
            ExportBatch::Environments(environments) => {
                for environment in environments {
                    self.renderer.record(Kind::Environment, &records::text(&Environment::from(environment))?)?;
                }
            }
            ExportBatch::BackendWorkspaces(backends) => {
                for backend in backends {
                    let record = records::ExportedBackendWorkspace::from(backend);
                    self.renderer.record(Kind::BackendWorkspace, &records::text(&record)?)?;
                }
            }
            ExportBatch::Members(members) => {
                for member in domain::members::named(&self.berth, members).await? {
                    self.renderer.record(Kind::Member, &records::text(&Member::from(member))?)?;
                }
            }
            ExportBatch::Run(detail) => self.renderer.record(Kind::Run, &records::run(&self.berth, *detail)?)?,
            ExportBatch::Audit(texts) => {
                for text in texts.iter() {
                    self.renderer.record(Kind::AuditEntry, text)?;
                }
            }
            ExportBatch::Chain(entries) => {
                for entry in entries {
                    self.entry(&entry)?;
                }
            }
        }
        self.hand_over().await
    }

    fn entry(&mut self, entry: &StoredEntry) -> Result<(), Halt> {
        if entry.is_own {
            return Ok(self.renderer.record(Kind::AuditEntry, &entry.text)?);
        }
        let link = domain::audit::Link::of_stored(entry.seq, &entry.text);
        Ok(self.renderer.record(Kind::AuditLink, &records::text(&link)?)?)
    }
}

#[async_trait]
impl ExportSink for Writer {
    fn begin(&mut self, section: ExportSection) {
        self.renderer.section(section);
    }

    async fn take(&mut self, batch: ExportBatch) -> Result<(), Stopped> {
        self.batch(batch).await.map_err(|halt| {
            self.halt = Some(halt);
            Stopped
        })
    }
}
