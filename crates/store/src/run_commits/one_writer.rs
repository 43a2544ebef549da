//! What [`super::rows`] writes, on SQLite: each row is found by its key, each cell is a bound value, and an index is touched only
//! where its columns may change.
//!
//! Most transitions leave a run with its owner. They change nothing that an index looks at, and must not say that they do: SQLite
//! writes every index anew whose columns a statement names.

use saga::Time;
use saga::ports::{Commit, Disposition};

use super::rows::{Heads, Written, records};
use crate::db::{Columns, Db, Error, Rank, Statement, Tx};
use crate::eights;

macro_rules! kept {
    ($eights:tt) => {
        concat!(
            "with u (bucket, id, epoch, state, waiting_for, ending, turned, done, total, deadline_at, now) as (values ",
            eights!($eights, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            ") update provisioning_runs set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned,
               done = u.done, total = u.total, deadline_at = u.deadline_at, updated_at = u.now, version = version + 1
             from u
             where provisioning_runs.bucket = u.bucket and provisioning_runs.id = u.id and provisioning_runs.epoch = u.epoch
               and not terminal and not parked and not requested and paused_by is null"
        )
    };
}

macro_rules! moved {
    ($eights:tt) => {
        concat!(
            "with u (bucket, id, epoch, state, waiting_for, ending, turned, done, total, deadline_at, now, paused_by, terminal, keep, due_at)
             as (values ",
            eights!($eights, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            ") update provisioning_runs set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned,
               done = u.done, total = u.total, deadline_at = u.deadline_at, updated_at = u.now, version = version + 1,
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
    ($eights:tt) => {
        concat!(
            "with e (bucket, run_id, seq, at, event) as (values ",
            eights!($eights, "(?, ?, ?, ?, ?)"),
            ") insert into run_journal (bucket, run_id, seq, at, event)
             select bucket, run_id, seq, at, event from e where run_id is not null
             on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event"
        )
    };
}

const NOWHERE: &str = "select 0";

crate::statements! {
    KEPT_8 = split(NOWHERE, kept!(1));
    KEPT_16 = split(NOWHERE, kept!(2));
    KEPT_24 = split(NOWHERE, kept!(3));
    KEPT_32 = split(NOWHERE, kept!(4));
    KEPT_40 = split(NOWHERE, kept!(5));
    KEPT_48 = split(NOWHERE, kept!(6));
    KEPT_56 = split(NOWHERE, kept!(7));
    KEPT_64 = split(NOWHERE, kept!(8));
    MOVED_8 = split(NOWHERE, moved!(1));
    MOVED_16 = split(NOWHERE, moved!(2));
    MOVED_24 = split(NOWHERE, moved!(3));
    MOVED_32 = split(NOWHERE, moved!(4));
    MOVED_40 = split(NOWHERE, moved!(5));
    MOVED_48 = split(NOWHERE, moved!(6));
    MOVED_56 = split(NOWHERE, moved!(7));
    MOVED_64 = split(NOWHERE, moved!(8));
    JOURNAL_8 = split(NOWHERE, journaled!(1));
    JOURNAL_16 = split(NOWHERE, journaled!(2));
    JOURNAL_24 = split(NOWHERE, journaled!(3));
    JOURNAL_32 = split(NOWHERE, journaled!(4));
    JOURNAL_40 = split(NOWHERE, journaled!(5));
    JOURNAL_48 = split(NOWHERE, journaled!(6));
    JOURNAL_56 = split(NOWHERE, journaled!(7));
    JOURNAL_64 = split(NOWHERE, journaled!(8));
}

/// The statement for up to eight rows, for up to sixteen, and so on: a row that is not there costs a third of one that is.
type Lengths = [&'static Statement; 8];
static KEPT: Lengths = [&KEPT_8, &KEPT_16, &KEPT_24, &KEPT_32, &KEPT_40, &KEPT_48, &KEPT_56, &KEPT_64];
static MOVED: Lengths = [&MOVED_8, &MOVED_16, &MOVED_24, &MOVED_32, &MOVED_40, &MOVED_48, &MOVED_56, &MOVED_64];
static JOURNAL: Lengths = [&JOURNAL_8, &JOURNAL_16, &JOURNAL_24, &JOURNAL_32, &JOURNAL_40, &JOURNAL_48, &JOURNAL_56, &JOURNAL_64];

/// Returns how many rows it changed.
async fn execute(tx: &mut Tx, lengths: &Lengths, columns: &Columns) -> Result<u64, Error> {
    let mut changed = 0;
    for piece in columns.pieces() {
        changed += tx.query(lengths[piece.eights() - 1]).bind(piece).execute().await?;
    }
    Ok(changed)
}

fn heads<C>(of: &[Written<'_, C>], now: Time) -> Result<Columns, Error> {
    let heads = Heads(of);
    let columns = heads.states(heads.keys().numbers(of.iter().map(|w| w.member.epoch)))?;
    Ok(columns.times(of.iter().map(|_| Some(now))))
}

/// The members' transitions in one transaction, and its time; `None` if a run is not as its member expects, upon which nothing is
/// written. The members are of different runs, and nobody asks anything of them.
pub(super) async fn swift<C>(db: &Db, members: &[&Commit<C>]) -> Result<Option<Time>, Error> {
    let mut tx = db.write_together().await?;
    tx.locks(Rank::Run);
    let now = tx.now().await?;
    let stays = |member: &Commit<C>| member.disposition == Disposition::Keep && member.head.paused_by.is_empty();
    let written = members.iter().map(|member| Written { member, requested: false });
    let (kept, moved): (Vec<_>, Vec<_>) = written.partition(|w| stays(w.member));
    let columns = heads(&kept, now)?;
    let mut changed = execute(&mut tx, &KEPT, &columns).await?;
    let columns = Heads(&moved).whereabouts(heads(&moved, now)?, None);
    changed += execute(&mut tx, &MOVED, &columns).await?;
    if changed != members.len() as u64 {
        tx.rollback().await?;
        return Ok(None);
    }
    execute(&mut tx, &JOURNAL, &records(&kept.iter().chain(&moved))?).await?;
    tx.commit().await?;
    Ok(Some(now))
}
