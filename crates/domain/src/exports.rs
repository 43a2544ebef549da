//! Use cases about exports: who may take a workspace's data out, and the trail that it leaves.
//!
//! An export is audited when it starts, or does not start; and when it ends, complete or not. Its receipt says what was
//! written; one that never ended, because its process died, stays incomplete.

use serde_json::json;
use uuid::Uuid;

use crate::access::{Freshness, Ground};
use crate::audit::Draft;
use crate::model::{Export, ExportFormat, ExportSection, Workspace};
use crate::ports::{ExportEnd, ExportPlan, NewExport, Place};
use crate::workspaces::read::require_open;
use crate::{Berth, Caller, Error};

/// What the caller asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub format: ExportFormat,
    /// In this order; none twice.
    pub include: Vec<ExportSection>,
    /// Texts that a spreadsheet would take for a formula are made harmless.
    pub csv_safe: bool,
}

/// An export that is on record and may be read. It holds its place until it is dropped.
#[derive(Debug)]
pub struct Started {
    pub export: Export,
    pub workspace: Workspace,
    _place: Place,
}

impl Started {
    /// What is to be read, for a reader who takes at most `patience` over a batch.
    #[must_use]
    pub fn plan(&self, patience: std::time::Duration) -> ExportPlan {
        ExportPlan {
            account_id: self.export.account_id,
            workspace_id: self.export.workspace_id,
            include: self.export.include.clone(),
            whole_chain: self.export.format == ExportFormat::Ndjson,
            patience,
        }
    }
}

/// Whether the caller may export this workspace now.
///
/// # Errors
/// `NotFound`; `Frozen` while a freeze blocks the workspace; an outage.
pub async fn authorize(berth: &Berth, caller: &Caller, workspace: Uuid) -> Result<Workspace, Error> {
    require_open(berth, caller, workspace, Freshness::Full).await
}

/// Puts the export on record: without receipt and audit entry nothing is read.
///
/// # Errors
/// As [`authorize`]; `ExportBusy` if as many exports as may be are running.
pub async fn start(berth: &Berth, caller: &Caller, workspace: Uuid, wanted: Wanted) -> Result<Started, Error> {
    let workspace = authorize(berth, caller, workspace).await?;
    let place = berth.exports.place().ok_or(Error::ExportBusy)?;
    let id = berth.ids.within(workspace.account_id);
    let include: Vec<_> = wanted.include.iter().map(|section| section.as_str()).collect();
    let audit = draft(berth, caller, &workspace, id, "workspace.export").after(json!({
        "format": wanted.format,
        "include": include,
        "csv_safe": wanted.csv_safe,
    }));
    let new = NewExport {
        id,
        account_id: workspace.account_id,
        workspace_id: workspace.id,
        format: wanted.format,
        include: wanted.include,
        csv_safe: wanted.csv_safe,
        created_by: caller.principal,
        audit,
    };
    let export = Export {
        id,
        account_id: new.account_id,
        workspace_id: new.workspace_id,
        format: new.format,
        include: new.include.clone(),
        csv_safe: new.csv_safe,
        created_by: new.created_by,
        started_at: berth.exports.begin(new).await?,
        ended_at: None,
        complete: false,
        rows: None,
        bytes: None,
        sha256: None,
    };
    Ok(Started { export, workspace, _place: place })
}

/// What has been written, before compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub rows: u64,
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

/// Why an export broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    ReaderGone,
    ReaderTooSlow,
    Failed,
}

impl Abort {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ReaderGone => "reader_gone",
            Self::ReaderTooSlow => "reader_too_slow",
            Self::Failed => "failed",
        }
    }
}

/// Completes the receipt, or says that the export broke off; audited.
///
/// # Errors
/// An outage; the receipt then stays incomplete.
pub async fn end(berth: &Berth, caller: &Caller, started: &Started, written: Written, abort: Option<Abort>) -> Result<(), Error> {
    let audit = draft(berth, caller, &started.workspace, started.export.id, "workspace.export.end")
        .outcome(if abort.is_some() { "aborted" } else { "succeeded" })
        .after(json!({
            "rows": written.rows,
            "bytes": written.bytes,
            "sha256": written.sha256,
            "complete": abort.is_none(),
            "aborted": abort.map(Abort::word),
        }));
    let Written { rows, bytes, sha256 } = written;
    Ok(berth.exports.end(ExportEnd { id: started.export.id, complete: abort.is_none(), rows, bytes, sha256, audit }).await?)
}

fn draft(berth: &Berth, caller: &Caller, workspace: &Workspace, export: Uuid, action: &str) -> Draft {
    Draft::of(caller, &*berth.ids, workspace.account_id, Some(workspace.id), action)
        .target("workspace", workspace.id)
        .target("export", export)
}

/// An export's receipt, for whoever may read its workspace.
///
/// # Errors
/// `NotFound`; `Frozen` while a freeze blocks the workspace; an outage.
pub async fn receipt(berth: &Berth, caller: &Caller, id: Uuid) -> Result<Export, Error> {
    const WHAT: &str = "export";
    let export = berth.exports.get(id).await?.ok_or(Error::NotFound { what: WHAT })?;
    let workspace = berth.workspaces.get(export.workspace_id).await?.ok_or(Error::NotFound { what: WHAT })?;
    Ground::workspace(berth, &workspace).await?.named(WHAT).require_open(berth, caller, Freshness::Full).await?;
    Ok(export)
}
