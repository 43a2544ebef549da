//! Exports: receipts, and the one long read-only transaction in which an export sees one moment.
//!
//! It is read in batches by key, and of audit entries the next one while the sink is at work on the last one: memory is flat
//! whatever the size. Exports are few at once: each of them holds a connection for as long as its reader needs, and on SQLite
//! keeps the write-ahead log from starting over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::bucket;
use domain::model::{Export, ExportFormat, ExportSection, Scope};
use domain::ports::{
    ExportBatch, ExportEnd, ExportPlan, ExportSink, Exports, NewExport, Page, Place, Reading, Stopped, StoredEntry, StoredTexts,
};
use futures::TryFutureExt as _;
use futures::future::try_join;
use saga::{RunId, StoreError, Time};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::db::{Error, Row, Tx};
use crate::workspaces::read;
use crate::{Store, audit, memberships, provisioning_runs, words};

crate::statements! {
    INSERT = shared(
        "insert into exports (bucket, id, account_id, workspace_id, format, include, csv_safe, created_by_kind, created_by_id,
           started_at, ended_at, complete, row_count, byte_count, sha256)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null, false, null, null, null)",
    );
    END = shared(
        "update exports set ended_at = $3, complete = $4, row_count = $5, byte_count = $6, sha256 = $7
         where bucket = $1 and id = $2 and ended_at is null",
    );
    GET = shared(
        "select id, account_id, workspace_id, format, include, csv_safe, created_by_kind, created_by_id, started_at, ended_at,
           complete, row_count, byte_count, sha256
         from exports where bucket = $1 and id = $2",
    );
    // A reader may be slow for longer than a transaction may be idle otherwise. This is also what begins the snapshot.
    MAY_BE_IDLE = split(
        "select set_config('idle_in_transaction_session_timeout', $1, true) as idle",
        "select $1 as idle from account_heads limit 1",
    );
    RUNS = shared(
        "select id from provisioning_runs where bucket = $1 and workspace_id = $2 and id > $3 order by id limit $4",
    );
    // One row for the whole batch: the entries' texts are long, and a row costs more than its text on either side of the wire.
    // An aggregate takes what a subquery gives in its order. The separator is that of `StoredTexts`.
    OWN_ENTRIES = split(
        "select count(*) as entries, max(e.seq) as seq, string_agg(e.entry, chr(30)) as texts
         from (select seq, entry from audit_entries
               where bucket = $1 and account_id = $2 and workspace_id = $3 and seq > $4 order by seq limit $5) e",
        "select count(*) as entries, max(e.seq) as seq, group_concat(e.entry, char(30)) as texts
         from (select seq, entry from audit_entries
               where bucket = $1 and account_id = $2 and workspace_id = $3 and seq > $4 order by seq limit $5 + 0) e",
    );
    ENTRIES = shared(
        "select seq, workspace_id, entry from audit_entries where bucket = $1 and account_id = $2 and seq > $3 order by seq limit $4",
    );
}

/// The most rows that are read at once.
const BATCH: u16 = 500;

/// [`Exports`] over the store: as many at once as there are places.
#[derive(Clone)]
pub struct BoundedExports {
    store: Store,
    places: Arc<Semaphore>,
}

impl Store {
    /// Exports, at most `concurrent` at once. Connections beyond that number are left for everybody else.
    #[must_use]
    pub fn exports(&self, concurrent: usize) -> BoundedExports {
        BoundedExports { store: self.clone(), places: Arc::new(Semaphore::new(concurrent)) }
    }
}

/// Why a reading stops early.
enum Halt {
    Sink,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Self {
        Self::Sink
    }
}

impl BoundedExports {
    async fn begin_export(&self, new: &NewExport) -> Result<Time, Error> {
        let mut tx = self.store.db.write().await?;
        let now = tx.now().await?;
        let include: Vec<_> = new.include.iter().map(|section| section.as_str()).collect();
        tx.query(&INSERT)
            .bind(bucket(new.id))
            .bind(new.id)
            .bind(new.account_id)
            .bind(new.workspace_id)
            .bind(new.format.as_str())
            .bind(include.join(","))
            .bind(new.csv_safe)
            .bind(new.created_by.kind.as_str())
            .bind(new.created_by.id)
            .bind(now)
            .execute()
            .await?;
        audit::append_alone(&mut tx, &new.audit).await?;
        tx.commit().await?;
        Ok(now)
    }

    async fn end_export(&self, end: &ExportEnd) -> Result<(), Error> {
        let mut tx = self.store.db.write().await?;
        let now = tx.now().await?;
        let stored = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let ended = tx
            .query(&END)
            .bind(bucket(end.id))
            .bind(end.id)
            .bind(now)
            .bind(end.complete)
            .bind(stored(end.rows))
            .bind(stored(end.bytes))
            .bind(end.sha256.as_str())
            .execute()
            .await?;
        if ended == 0 {
            return Err(Error::broken(format!("export {} has ended already, or has no receipt", end.id)));
        }
        audit::append_alone(&mut tx, &end.audit).await?;
        tx.commit().await
    }

    async fn receipt(&self, id: Uuid) -> Result<Option<Export>, Error> {
        let mut tx = self.store.db.read().await?;
        let row = tx.query(&GET).bind(bucket(id)).bind(id).fetch_optional().await?;
        row.as_ref().map(receipt).transpose()
    }

    async fn read_all(&self, plan: &ExportPlan, sink: &mut dyn ExportSink) -> Result<(), Halt> {
        let mut tx = self.store.db.read().await.map_err(Halt::Failed)?;
        // Twice as long: the sink gives up by itself, and is to be the one that does.
        let idle = plan.patience.saturating_mul(2).max(Duration::from_secs(1));
        tx.query(&MAY_BE_IDLE).bind(idle.as_millis().to_string()).fetch_optional().await?;
        for section in &plan.include {
            sink.begin(*section);
            match section {
                ExportSection::Workspace => {
                    if let Some(workspace) = read::workspace_of(&mut tx, plan.workspace_id).await? {
                        sink.take(ExportBatch::Workspace(Box::new(workspace))).await?;
                    }
                }
                ExportSection::Environments => {
                    let environments = read::environments_of(&mut tx, plan.workspace_id).await?;
                    sink.take(ExportBatch::Environments(environments)).await?;
                }
                ExportSection::BackendWorkspaces => {
                    let backends = read::backend_workspaces_of(&mut tx, plan.workspace_id).await?;
                    sink.take(ExportBatch::BackendWorkspaces(backends)).await?;
                }
                ExportSection::Members => members(&mut tx, plan.workspace_id, sink).await?,
                // Until there are connections the section is empty.
                ExportSection::Connections => {}
                ExportSection::Runs => runs(&mut tx, plan.workspace_id, sink).await?,
                ExportSection::Audit => entries(&mut tx, plan, sink).await?,
            }
        }
        Ok(())
    }
}

async fn members(tx: &mut Tx, workspace: Uuid, sink: &mut dyn ExportSink) -> Result<(), Halt> {
    let mut after = None;
    loop {
        let page = memberships::members(tx, Scope::Workspace, workspace, Page { after, limit: u32::from(BATCH) }).await?;
        let is_end = page.len() < usize::from(BATCH);
        after = page.last().map(|member| member.principal.id);
        if !page.is_empty() {
            sink.take(ExportBatch::Members(page)).await?;
        }
        if is_end {
            return Ok(());
        }
    }
}

/// Run by run: no more than one journal is held at a time.
async fn runs(tx: &mut Tx, workspace: Uuid, sink: &mut dyn ExportSink) -> Result<(), Halt> {
    let mut after = Uuid::nil();
    loop {
        let rows = tx.query(&RUNS).bind(bucket(workspace)).bind(workspace).bind(after).bind(i64::from(BATCH)).fetch_all().await?;
        for row in &rows {
            after = row.get("id")?;
            if let Some(detail) = provisioning_runs::detail(tx, RunId(after)).await? {
                sink.take(ExportBatch::Run(Box::new(detail))).await?;
            }
        }
        if rows.len() < usize::from(BATCH) {
            return Ok(());
        }
    }
}

async fn entries(tx: &mut Tx, plan: &ExportPlan, sink: &mut dyn ExportSink) -> Result<(), Halt> {
    let mut read = entries_after(tx, plan, 0).await?;
    while let Some(batch) = read.batch {
        let Some(after) = read.next else { return Ok(sink.take(batch).await?) };
        // Asked first, so that the database is at work on the next batch while this one is written.
        let next = entries_after(tx, plan, after).map_err(Halt::Failed);
        (read, ()) = try_join(next, sink.take(batch).map_err(Halt::from)).await?;
    }
    Ok(())
}

/// Audit entries, and behind which the next ones are: nowhere, if these are the last.
struct Entries {
    batch: Option<ExportBatch>,
    next: Option<i64>,
}

async fn entries_after(tx: &mut Tx, plan: &ExportPlan, after: i64) -> Result<Entries, Error> {
    if plan.whole_chain { chain_after(tx, plan, after).await } else { own_after(tx, plan, after).await }
}

async fn own_after(tx: &mut Tx, plan: &ExportPlan, after: i64) -> Result<Entries, Error> {
    let query = tx.query(&OWN_ENTRIES).bind(bucket(plan.account_id)).bind(plan.account_id).bind(plan.workspace_id);
    let row = query.bind(after).bind(i64::from(BATCH)).fetch_one().await?;
    let many: usize = row.count("entries")?;
    let texts: Option<String> = row.get("texts")?;
    // Somebody else's hands: what is no JSON may hold the separator.
    let pieces = |texts: &String| 1 + texts.bytes().filter(|byte| char::from(*byte) == StoredTexts::BETWEEN).count();
    if texts.as_ref().map_or(0, pieces) != many {
        return Err(Error::broken(format!("one of {many} audit entries after {after} is not JSON")));
    }
    let last: Option<i64> = row.get("seq")?;
    Ok(Entries { batch: texts.map(StoredTexts::new).map(ExportBatch::Audit), next: last.filter(|_| many == usize::from(BATCH)) })
}

async fn chain_after(tx: &mut Tx, plan: &ExportPlan, after: i64) -> Result<Entries, Error> {
    let query = tx.query(&ENTRIES).bind(bucket(plan.account_id)).bind(plan.account_id);
    let rows = query.bind(after).bind(i64::from(BATCH)).fetch_all().await?;
    let mut batch = Vec::with_capacity(rows.len());
    let mut last = after;
    for row in &rows {
        last = row.get("seq")?;
        let workspace: Option<Uuid> = row.get("workspace_id")?;
        let seq = u64::try_from(last).map_err(|_| Error::broken(format!("an audit entry has the number {last}")))?;
        batch.push(StoredEntry { seq, is_own: workspace == Some(plan.workspace_id), text: row.get("entry")? });
    }
    let is_end = batch.len() < usize::from(BATCH);
    Ok(Entries { batch: (!batch.is_empty()).then_some(ExportBatch::Chain(batch)), next: (!is_end).then_some(last) })
}

fn receipt(row: &Row) -> Result<Export, Error> {
    let include: String = row.get("include")?;
    let sections = include.split(',').map(ExportSection::parse).collect::<Option<_>>();
    let count = |name| -> Result<Option<u64>, Error> {
        let number: Option<i64> = row.get(name)?;
        number.map(|n| u64::try_from(n).map_err(|_| Error::broken(format!("column {name} holds {n}")))).transpose()
    };
    Ok(Export {
        id: row.get("id")?,
        account_id: row.get("account_id")?,
        workspace_id: row.get("workspace_id")?,
        format: row.word("format", ExportFormat::parse)?,
        include: sections.ok_or_else(|| Error::broken(format!("column include holds {include:?}")))?,
        csv_safe: row.get("csv_safe")?,
        created_by: words::principal(row, "created_by")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        complete: row.get("complete")?,
        rows: count("row_count")?,
        bytes: count("byte_count")?,
        sha256: row.get("sha256")?,
    })
}

#[async_trait]
impl Exports for BoundedExports {
    fn place(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok().map(Place::new)
    }

    async fn begin(&self, new: NewExport) -> Result<Time, StoreError> {
        Ok(self.store.db.attempt(|| self.begin_export(&new)).await?)
    }

    async fn read(&self, plan: &ExportPlan, sink: &mut dyn ExportSink) -> Result<Reading, StoreError> {
        match self.read_all(plan, sink).await {
            Ok(()) => Ok(Reading::Whole),
            Err(Halt::Sink) => Ok(Reading::Stopped),
            Err(Halt::Failed(error)) => Err(error.into()),
        }
    }

    async fn end(&self, end: ExportEnd) -> Result<(), StoreError> {
        Ok(self.store.db.attempt(|| self.end_export(&end)).await?)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Export>, StoreError> {
        Ok(self.receipt(id).await?)
    }
}
