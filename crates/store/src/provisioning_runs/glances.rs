//! A run with its records and requests in one row: by itself, or beside the workspace whose latest run it is.

use std::collections::HashMap;

use domain::ids::bucket;
use domain::model::RunDetail;
use domain::ports::WithRun;
use saga::{Record, RunId, Time};
use uuid::Uuid;

use super::run;
use crate::db::{Cells, Columns, Error, Row};
use crate::questions::Read;
use crate::tuples::next_revision;
use crate::workspaces::read::{self, workspace};
use crate::{Store, words};

/// Of rows `r` the records, and the requests that are not journaled yet. Where `$wanted` is not so, the two are null.
macro_rules! told {
    (postgres, $wanted:literal) => {
        concat!(
            "case when ", $wanted, " then
               (select coalesce(jsonb_agg(jsonb_build_object('seq', j.seq, 'at', (extract(epoch from j.at) * 1000000)::bigint, 'event', j.event)
                 order by j.seq), '[]') from run_journal j where j.bucket = r.bucket and j.run_id = r.id) end as journal,
             case when ", $wanted, " then
               (select coalesce(jsonb_agg(q.verb order by q.ordinal), '[]') from run_requests q
                where q.bucket = r.bucket and q.run_id = r.id and q.journaled_at is null) end as verbs"
        )
    };
    (sqlite, $wanted:literal) => {
        concat!(
            "case when ", $wanted, " then
               (select json_group_array(json_object('seq', j.seq, 'at', j.at, 'event', json(j.event)) order by j.seq)
                from run_journal j where j.bucket = r.bucket and j.run_id = r.id) end as journal,
             case when ", $wanted, " then
               (select json_group_array(q.verb order by q.ordinal) from run_requests q
                where q.bucket = r.bucket and q.run_id = r.id and q.journaled_at is null) end as verbs"
        )
    };
}

/// Row, records and requests in one question.
macro_rules! detail {
    ($database:ident, $rest:literal) => {
        concat!("select ", columns!("r.input"), ", ", told!($database, "true"), " from provisioning_runs r ", $rest)
    };
}

/// Of an ended run the row says all that is wanted at a glance, and of no run its input.
macro_rules! glance {
    (postgres) => {
        concat!(columns!("null::jsonb as input"), ", ", told!(postgres, "r.ending is null"))
    };
    (sqlite) => {
        concat!(columns!("null as input"), ", ", told!(sqlite, "r.ending is null"))
    };
}

crate::statements! {
    DETAIL = split(
        detail!(postgres, "where bucket = $1 and id = $2"),
        detail!(sqlite, "where bucket = $1 and id = $2"),
    );
    GLANCES = split(
        concat!(
            "select t.* from unnest((select $1::smallint[]), (select $2::uuid[])) as k(bucket, id) cross join lateral (
               select ", glance!(postgres), " from provisioning_runs r where r.bucket = k.bucket and r.id = k.id offset 0) t"
        ),
        concat!(
            "select ", glance!(sqlite), " from provisioning_runs r
             where (r.bucket, r.id) in (select value->>0, unhex(value->>1) from json_each($1))"
        ),
    );
    WITH_RUNS = split(
        concat!(
            "select v.revision, v.mark, t.*, u.* from relationship_revision v
             cross join unnest((select $1::smallint[]), (select $2::uuid[])) as k(bucket, id)
             cross join lateral (select ", read::columns!(), " from workspaces w where w.bucket = k.bucket and w.id = k.id offset 0) t
             left join lateral (
               select ", glance!(postgres), " from provisioning_runs r where r.bucket = k.bucket and r.id = t.run_id offset 0) u on true
             where v.id = 1"
        ),
        concat!(
            "select v.revision, v.mark, ", read::columns!(), ", ", glance!(sqlite), " from json_each($1) k
             join relationship_revision v on v.id = 1
             join workspaces w on w.bucket = k.value->>0 and w.id = unhex(k.value->>1)
             left join provisioning_runs r on r.bucket = w.bucket and r.id = w.run_id"
        ),
    );
}

/// A record as it is read together with its run.
#[derive(serde::Deserialize)]
struct Told {
    seq: i64,
    /// Microseconds.
    at: i64,
    event: saga::Event,
}

impl From<Told> for Record {
    fn from(Told { seq, at, event }: Told) -> Self {
        Self { seq, at: Time::from_micros(at), event }
    }
}

/// The run in the next of a row's cells, with its records and requests.
fn told(cells: &mut Cells<'_>) -> Result<RunDetail, Error> {
    let run = run(cells)?;
    let journal: Option<Vec<Told>> = cells.optional_json()?;
    let journal = journal.into_iter().flatten().map(Record::from).collect();
    let verbs: Option<Vec<String>> = cells.optional_json()?;
    let verb = |word: &String| words::read(word).ok_or_else(|| Error::broken(format!("a request holds the unknown word {word:?}")));
    Ok(RunDetail { run, journal, pending_verbs: verbs.iter().flatten().map(verb).collect::<Result<_, _>>()? })
}

/// Where the workspace's id stands, after the revision.
const ID: usize = 2;

fn with_run(row: &Row) -> Result<WithRun, Error> {
    let mut cells = row.cells();
    let seen = Some(next_revision(&mut cells)?);
    let workspace = workspace(&mut cells)?;
    let run = if cells.is_null::<Uuid>()? { None } else { Some(told(&mut cells)?) };
    Ok(WithRun { workspace, run, seen })
}

impl Store {
    pub(super) async fn run_detail(&self, id: RunId) -> Result<Option<RunDetail>, Error> {
        let row = self.db.ask(&DETAIL).bind(bucket(id.0)).bind(id.0).fetch_optional().await?;
        row.as_ref().map(|row| told(&mut row.cells())).transpose()
    }

    pub(super) async fn glances(&self, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Read<RunDetail>>, Error> {
        let rows = self.db.ask(&GLANCES).bind(Columns::default().keys(ids)).fetch_all().await?;
        rows.iter().map(|row| Ok((row.get(0)?, told(&mut row.cells())))).collect()
    }

    pub(crate) async fn workspaces_with_runs(&self, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Read<WithRun>>, Error> {
        let rows = self.db.ask(&WITH_RUNS).bind(Columns::default().keys(ids)).fetch_all().await?;
        let read = |rows: &[Row]| rows.iter().map(|row| Ok((row.get(ID)?, with_run(row)))).collect::<Result<HashMap<Uuid, _>, Error>>();
        let mut found = read(&rows)?;
        let frozen_once = read::frozen_once(&found, |found| &found.workspace);
        if !frozen_once.is_empty() {
            let mut tx = self.db.read().await?;
            let rows = tx.query(&WITH_RUNS).bind(Columns::default().keys(frozen_once)).fetch_all().await?;
            let mut again = read(&rows)?;
            read::add_freezes(&mut tx, again.values_mut().flatten().map(|found| &mut found.workspace)).await?;
            found.extend(again);
        }
        Ok(found)
    }
}
