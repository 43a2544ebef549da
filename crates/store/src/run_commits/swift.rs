//! The short way of a batch: runs that nobody asks anything of are locked, fenced and updated by one statement.

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::Change;
use saga::Time;
use saga::ports::Commit;
use uuid::Uuid;

use super::one_writer;
use super::rows::{self, Written};
use crate::changes;
use crate::db::{Db, Error, Rank};

crate::statements! {
    // In the order of the runs, as everywhere. What is not as expected is left as it is. `case`: with plain conditions a plan that was
    // made for a few runs goes through the whole index of live ones.
    SWIFT = split(
        "update provisioning_runs r set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned::jsonb,
           done = u.done, total = u.total, deadline_at = u.deadline_at, paused_by = u.paused_by::jsonb, terminal = u.terminal,
           updated_at = clock_timestamp() + $1 * interval '1 microsecond', version = r.version + 1,
           owner = case when u.keep then r.owner end, due_at = case when u.keep then r.due_at else u.due_at end
         from unnest($2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
             $10::timestamptz[], $11::text[], $12::boolean[], $13::boolean[], $14::timestamptz[], $15::boolean[], $16::bigint[])
           as u(bucket, id, state, waiting_for, ending, turned, done, total, deadline_at, paused_by, terminal, keep, due_at, requested,
             epoch)
         where r.bucket = u.bucket and r.id = u.id and r.epoch = u.epoch
           and case when r.terminal or r.parked or r.requested then false else true end
         returning r.id, r.updated_at as now",
        "select 0 as now",
    );
}

/// Of a batch's members, those that nobody asks anything of, and whose changes are of the kinds that share statements, in one
/// transaction; on SQLite, where statements cost little, those that change nothing besides. Answers which members it took, and for their
/// runs that were as expected the time; the others have to go the long way.
pub(super) async fn swift(db: &Db, batch: &[Commit<Change>]) -> Result<(BTreeSet<usize>, HashMap<Uuid, Time>), Error> {
    let mut seen = HashSet::new();
    let fits = |change: &Change| !db.is_sqlite() && changes::is_of_many(change);
    let simple = |member: &Commit<Change>| !member.resent && member.requests.is_empty() && member.changes.iter().all(fits);
    let taken: BTreeSet<usize> = (0..batch.len()).filter(|at| seen.insert(batch[*at].run) && simple(&batch[*at])).collect();
    let members: Vec<&Commit<Change>> = taken.iter().map(|at| &batch[*at]).collect();
    if db.is_sqlite() && !members.is_empty() {
        let now = one_writer::swift(db, &members).await?;
        let settled = now.map(|now| members.iter().map(|member| (member.run.0, now)).collect());
        return Ok((taken, settled.unwrap_or_default()));
    }
    // What stands alone and changes nothing has been tried in one statement.
    let is_worth_it = members.len() > 1 || members.iter().any(|member| !member.changes.is_empty());
    if !is_worth_it {
        return Ok((BTreeSet::new(), HashMap::new()));
    }
    let mut tx = db.write().await?;
    super::lock_subjects(&mut tx, members.iter().copied(), &BTreeSet::new()).await?;
    tx.locks(Rank::Run);
    let offset = tx.offset();
    let mut locked: Vec<Written<'_, Change>> = members.iter().map(|member| Written { member, requested: false }).collect();
    locked.sort_unstable_by_key(|w| w.member.run.0);
    let columns = rows::heads_of(&locked, None)?.numbers(locked.iter().map(|w| w.member.epoch));
    let mut settled = HashMap::new();
    for row in tx.query(&SWIFT).bind(offset).bind(columns).fetch_all().await? {
        let now = row.get("now")?;
        tx.learn(now);
        settled.insert(row.get("id")?, now);
    }
    if settled.is_empty() {
        tx.rollback().await?;
        return Ok((taken, settled));
    }
    let settles = members.iter().filter(|member| settled.contains_key(&member.run.0));
    let written: Vec<Written<'_, Change>> = settles.map(|member| Written { member, requested: false }).collect();
    rows::journal(&mut tx, &written).await?;
    let now = tx.now().await?;
    let closings = changes::apply(&mut tx, rows::asked(&written), now).await?;
    changes::close(&mut tx, closings, now).await?;
    tx.commit().await?;
    Ok((taken, settled))
}
