//! What [`super::rows`] writes, on SQLite: each row is found by its key, each cell is a bound value, and an index is touched only
//! where its columns may change.
//!
//! Most transitions leave a run with its owner. They change nothing that an index looks at, and must not say that they do: SQLite
//! writes every index anew whose columns a statement names.

use saga::Time;
use saga::ports::{Commit, Disposition};

use super::rows::{Heads, Written, records};
use crate::db::{Columns, Db, Error, Rank, Statement, Tx};
use crate::{eight, sixty_four};

macro_rules! kept {
    ($rows:expr) => {
        concat!(
            "with u (bucket, id, epoch, state, waiting_for, ending, turned, done, total, deadline_at, now) as (values ",
            $rows,
            ") update provisioning_runs set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned,
               done = u.done, total = u.total, deadline_at = u.deadline_at, updated_at = u.now, version = version + 1
             from u
             where provisioning_runs.bucket = u.bucket and provisioning_runs.id = u.id and provisioning_runs.epoch = u.epoch
               and not terminal and not parked and not requested and paused_by is null"
        )
    };
}

macro_rules! moved {
    ($rows:expr) => {
        concat!(
            "with u (bucket, id, epoch, state, waiting_for, ending, turned, done, total, deadline_at, now, paused_by, terminal, keep, due_at)
             as (values ",
            $rows,
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
    ($rows:expr) => {
        concat!(
            "with e (bucket, run_id, seq, at, event) as (values ",
            $rows,
            ") insert into run_journal (bucket, run_id, seq, at, event)
             select bucket, run_id, seq, at, event from e where run_id is not null
             on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event"
        )
    };
}

const NOWHERE: &str = "select 0";

crate::statements! {
    KEPT_8 = split(NOWHERE, kept!(eight!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")));
    KEPT_64 = split(NOWHERE, kept!(sixty_four!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")));
    MOVED_8 = split(NOWHERE, moved!(eight!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")));
    MOVED_64 = split(NOWHERE, moved!(sixty_four!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")));
    JOURNAL_8 = split(NOWHERE, journaled!(eight!("(?, ?, ?, ?, ?)")));
    JOURNAL_64 = split(NOWHERE, journaled!(sixty_four!("(?, ?, ?, ?, ?)")));
}

/// The statement for rows of up to eight, and of up to 64.
struct Lengths(&'static Statement, &'static Statement);

/// Returns how many rows it changed.
async fn execute(tx: &mut Tx, Lengths(short, long): Lengths, columns: &Columns) -> Result<u64, Error> {
    let mut changed = 0;
    for piece in columns.pieces() {
        let statement = if piece.is_short() { short } else { long };
        changed += tx.query(statement).bind(piece).execute().await?;
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
    let mut changed = execute(&mut tx, Lengths(&KEPT_8, &KEPT_64), &columns).await?;
    let columns = Heads(&moved).whereabouts(heads(&moved, now)?, None);
    changed += execute(&mut tx, Lengths(&MOVED_8, &MOVED_64), &columns).await?;
    if changed != members.len() as u64 {
        tx.rollback().await?;
        return Ok(None);
    }
    execute(&mut tx, Lengths(&JOURNAL_8, &JOURNAL_64), &records(&kept.iter().chain(&moved))?).await?;
    tx.commit().await?;
    Ok(Some(now))
}
