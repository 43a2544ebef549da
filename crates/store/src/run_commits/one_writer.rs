//! What [`super::rows`] writes, on SQLite: each row is found by its key, each cell is a bound value, and an index is touched only
//! where its columns may change.
//!
//! Most transitions leave a run with its owner. They change nothing that an index looks at, and must not say that they do: SQLite
//! writes every index anew whose columns a statement names.

use futures::future::join;
use saga::Time;
use saga::ports::{Commit, Disposition};

use super::rows::{Heads, Written, records};
use crate::db::{Columns, Db, Error, Piece, Rank, Statement};
use crate::doubled;

macro_rules! kept {
    ($doublings:tt) => {
        concat!(
            "with u (bucket, id, epoch, state, waiting_for, ending, turned, done, total, deadline_at) as (values ",
            doubled!($doublings, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            ") update provisioning_runs set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned,
               done = u.done, total = u.total, deadline_at = u.deadline_at, updated_at = ?, version = version + 1
             from u
             where provisioning_runs.bucket = u.bucket and provisioning_runs.id = u.id and provisioning_runs.epoch = u.epoch
               and not terminal and not parked and not requested and paused_by is null"
        )
    };
}

macro_rules! moved {
    ($doublings:tt) => {
        concat!(
            "with u (bucket, id, epoch, state, waiting_for, ending, turned, done, total, deadline_at, paused_by, terminal, keep, due_at)
             as (values ",
            doubled!($doublings, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            ") update provisioning_runs set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned,
               done = u.done, total = u.total, deadline_at = u.deadline_at, updated_at = ?, version = version + 1,
               paused_by = u.paused_by, terminal = u.terminal, owner = case when u.keep then provisioning_runs.owner end,
               due_at = case when u.keep then provisioning_runs.due_at else u.due_at end
             from u
             where provisioning_runs.bucket = u.bucket and provisioning_runs.id = u.id and provisioning_runs.epoch = u.epoch
               and not provisioning_runs.terminal and not parked and not requested"
        )
    };
}

// A row without an id is a parameter too many.
macro_rules! journaled {
    ($doublings:tt) => {
        concat!(
            "with e (bucket, run_id, seq, at, event) as (values ",
            doubled!($doublings, "(?, ?, ?, ?, ?)"),
            ") insert into run_journal (bucket, run_id, seq, at, event)
             select bucket, run_id, seq, at, event from e where run_id is not null
             on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event"
        )
    };
}

const NOWHERE: &str = "select 0";

crate::statements! {
    KEPT_8 = split(NOWHERE, kept!(0));
    KEPT_16 = split(NOWHERE, kept!(1));
    KEPT_32 = split(NOWHERE, kept!(2));
    KEPT_64 = split(NOWHERE, kept!(3));
    MOVED_8 = split(NOWHERE, moved!(0));
    MOVED_16 = split(NOWHERE, moved!(1));
    MOVED_32 = split(NOWHERE, moved!(2));
    MOVED_64 = split(NOWHERE, moved!(3));
    JOURNAL_8 = split(NOWHERE, journaled!(0));
    JOURNAL_16 = split(NOWHERE, journaled!(1));
    JOURNAL_32 = split(NOWHERE, journaled!(2));
    JOURNAL_64 = split(NOWHERE, journaled!(3));
}

/// The statement for up to eight rows, for up to sixteen, and so on: few, since several go as one text, which is prepared as a whole. A row
/// that is not there costs a third of one that is.
type Lengths = [&'static Statement; 4];
static KEPT: Lengths = [&KEPT_8, &KEPT_16, &KEPT_32, &KEPT_64];
static MOVED: Lengths = [&MOVED_8, &MOVED_16, &MOVED_32, &MOVED_64];
static JOURNAL: Lengths = [&JOURNAL_8, &JOURNAL_16, &JOURNAL_32, &JOURNAL_64];

fn statements<'c>(lengths: &'static Lengths, columns: &'c Columns) -> impl Iterator<Item = (&'static Statement, Piece<'c>)> {
    columns.pieces().map(|piece| (lengths[piece.doublings()], piece))
}

fn heads<C>(of: &[Written<'_, C>]) -> Result<Columns, Error> {
    let heads = Heads(of);
    heads.states(heads.keys().numbers(of.iter().map(|w| w.member.epoch)))
}

/// The members' transitions in one transaction, and its time; `None` if a run is not as its member expects, upon which nothing is
/// written. The members are of different runs, and nobody asks anything of them.
pub(super) async fn swift<C>(db: &Db, members: &[&Commit<C>]) -> Result<Option<Time>, Error> {
    let stays = |member: &Commit<C>| member.disposition == Disposition::Keep && member.head.paused_by.is_empty();
    let written = members.iter().map(|member| Written { member, requested: false });
    let (kept, moved): (Vec<_>, Vec<_>) = written.partition(|w| stays(w.member));
    // Whoever waits for a turn has the time.
    let (tx, columns) = join(db.write_together(), async {
        let stay = heads(&kept)?;
        let go = Heads(&moved).whereabouts(heads(&moved)?, None);
        Ok::<_, Error>((stay, go, records(&kept.iter().chain(&moved))?))
    })
    .await;
    let (mut tx, (stay, go, journal)) = (tx?, columns?);
    tx.locks(Rank::Run);
    let now = tx.now().await?;
    let runs: Vec<_> = statements(&KEPT, &stay).chain(statements(&MOVED, &go)).map(|(of, rows)| (of, rows.and(now))).collect();
    let of_runs = runs.len();
    let mut all = runs.into_iter().chain(statements(&JOURNAL, &journal));
    let Some((first, rows)) = all.next() else { return Ok(Some(now)) };
    let query = all.fold(tx.query(first).bind(rows), |query, (next, rows)| query.then(next).bind(rows));
    let changed = query.execute_each().await?;
    if changed[..of_runs].iter().sum::<u64>() != members.len() as u64 {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.commit().await?;
    Ok(Some(now))
}
