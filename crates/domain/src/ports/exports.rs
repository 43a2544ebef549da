//! Exports: their receipts, and the one long read that each of them is.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::Principal;
use crate::audit::Draft;
use crate::model::{BackendWorkspace, Environment, Export, ExportFormat, ExportSection, Member, RunDetail, Workspace};

/// One of the places that exports may take at once; dropped, it is free again.
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl Place {
    #[must_use]
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

/// A receipt that is not complete yet, and the entry without which nothing is exported.
#[derive(Debug, Clone)]
pub struct NewExport {
    pub id: Uuid,
    pub account_id: Uuid,
    pub workspace_id: Uuid,
    pub format: ExportFormat,
    pub include: Vec<ExportSection>,
    pub csv_safe: bool,
    pub created_by: Principal,
    pub audit: Draft,
}

/// How an export ended. What was written is told of one that broke off as well.
#[derive(Debug, Clone)]
pub struct ExportEnd {
    pub id: Uuid,
    pub complete: bool,
    pub rows: u64,
    /// Before compression.
    pub bytes: u64,
    /// In hex, over the bytes before compression.
    pub sha256: String,
    pub audit: Draft,
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPlan {
    pub account_id: Uuid,
    pub workspace_id: Uuid,
    /// In this order.
    pub include: Vec<ExportSection>,
    /// The account's other audit entries are read as well, so that the chain can be followed.
    pub whole_chain: bool,
    /// The longest that the sink takes over one batch: for so long the database leaves the transaction alone.
    pub patience: Duration,
}

/// An audit entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub seq: u64,
    /// Of the workspace that is exported, not another one's or the account's.
    pub is_own: bool,
    /// The JSON text of an [`Entry`](crate::audit::Entry).
    pub text: String,
}

/// Texts of audit entries as they are stored, one behind the other: none of them is copied before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTexts(String);

impl StoredTexts {
    /// Stands between two texts: no JSON has it, not even within a string.
    pub const BETWEEN: char = '\u{1e}';

    /// At least one text.
    #[must_use]
    pub fn new(joined: String) -> Self {
        Self(joined)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(Self::BETWEEN)
    }
}

/// Some rows of a section. A batch is bounded, however large the section is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportBatch {
    Workspace(Box<Workspace>),
    Environments(Vec<Environment>),
    BackendWorkspaces(Vec<BackendWorkspace>),
    Members(Vec<Member>),
    /// One at a time: its journal may be long.
    Run(Box<RunDetail>),
    /// Of the workspace alone.
    Audit(StoredTexts),
    /// Of the whole account.
    Chain(Vec<StoredEntry>),
}

/// Nobody takes the rows any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Where the rows go.
#[async_trait]
pub trait ExportSink: Send {
    /// The batches that follow are of this section, until the next one begins. One may have no batch.
    fn begin(&mut self, section: ExportSection);
    /// Returns when it wants the next batch. While it is at work one more may be read, and no second one.
    ///
    /// # Errors
    /// [`Stopped`] ends the reading.
    async fn take(&mut self, batch: ExportBatch) -> Result<(), Stopped>;
}

/// How a reading came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Whole,
    /// The sink wanted no more.
    Stopped,
}

#[async_trait]
pub trait Exports: Send + Sync + 'static {
    /// A place among the exports that may run at once; `None` if all are taken.
    fn place(&self) -> Option<Place>;
    /// Receipt and audit entry, one commit. Returns its time.
    async fn begin(&self, new: NewExport) -> Result<Time, StoreError>;
    /// One read-only transaction that sees one moment, as long as the sink needs. Nothing but the sink is waited for in it.
    async fn read(&self, plan: &ExportPlan, sink: &mut dyn ExportSink) -> Result<Reading, StoreError>;
    /// Receipt and audit entry, one commit.
    async fn end(&self, end: ExportEnd) -> Result<(), StoreError>;
    async fn get(&self, id: Uuid) -> Result<Option<Export>, StoreError>;
}
