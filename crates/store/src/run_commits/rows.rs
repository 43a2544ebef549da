//! What a transition writes: records of the journal and the run's row, of all members of a batch in one statement each.

use domain::Change;
use saga::ports::{Commit, Disposition, Head};
use saga::{RunId, Time};
use uuid::Uuid;

use crate::changes::Asked;
use crate::db::{Columns, Db, Error, JsonText, Tx};
use crate::words;

crate::statements! {
    JOURNAL = split(
        "insert into run_journal (bucket, run_id, seq, at, event)
         select e.bucket, e.run_id, e.seq, e.at, e.event::jsonb
         from unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[]) as e(bucket, run_id, seq, at, event)
         on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event",
        "insert into run_journal (bucket, run_id, seq, at, event)
         select value->>0, unhex(value->>1), value->>2, value->>3, value->>4 from json_each($1) where true
         on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event",
    );
    UPDATE = split(
        "update provisioning_runs r set state = u.state, waiting_for = u.waiting_for, ending = u.ending, turned = u.turned::jsonb,
           done = u.done, total = u.total, deadline_at = u.deadline_at, paused_by = u.paused_by::jsonb, terminal = u.terminal,
           updated_at = $1, version = r.version + 1, requested = u.requested, owner = case when u.keep then r.owner end,
           due_at = case when u.keep then r.due_at else u.due_at end
         from unnest($2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
             $10::timestamptz[], $11::text[], $12::boolean[], $13::boolean[], $14::timestamptz[], $15::boolean[])
           as u(bucket, id, state, waiting_for, ending, turned, done, total, deadline_at, paused_by, terminal, keep, due_at, requested)
         where r.bucket = u.bucket and r.id = u.id",
        "update provisioning_runs set state = u.value->>2, waiting_for = u.value->>3, ending = u.value->>4, turned = u.value->>5,
           done = u.value->>6, total = u.value->>7, deadline_at = u.value->>8, paused_by = u.value->>9, terminal = u.value->>10,
           updated_at = $1, version = version + 1, requested = u.value->>13, owner = case when u.value->>11 then owner end,
           due_at = case when u.value->>11 then due_at else u.value->>12 end
         from json_each($2) u
         where provisioning_runs.bucket = u.value->>0 and provisioning_runs.id = unhex(u.value->>1)",
    );
    // The whole transition of one run that nobody asks anything of, in one round trip. It addresses one bucket; no row means
    // that something is to be looked at first.
    ALONE = split(
        "with u as (
           update provisioning_runs r set state = $5, waiting_for = $6, ending = $7, turned = $8::jsonb, done = $9, total = $10,
             deadline_at = $11, paused_by = $12::jsonb, terminal = $13, updated_at = clock_timestamp() + $1 * interval '1 microsecond',
             version = r.version + 1, owner = case when $14 then r.owner end, due_at = case when $14 then r.due_at else $15 end
           where r.bucket = $2 and r.id = $3 and r.epoch = $4 and not r.terminal and not r.parked and not r.requested
           returning r.bucket, r.id, r.updated_at),
         j as (
           insert into run_journal (bucket, run_id, seq, at, event)
           select u.bucket, u.id, e.seq, e.at, e.event::jsonb
           from u cross join unnest($16::bigint[], $17::timestamptz[], $18::text[]) as e(seq, at, event)
           on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event)
         select updated_at as now from u",
        "select 0 as now",
    );
}

/// A member as it is written: nothing more is to be decided.
pub(super) struct Written<'a, C> {
    pub member: &'a Commit<C>,
    /// Requests are left that no record journals.
    pub requested: bool,
}

/// What the members' steps ask to have changed.
pub(super) fn asked<'a>(members: &'a [Written<'a, Change>]) -> impl Iterator<Item = Asked<'a>> {
    members.iter().flat_map(|w| w.member.changes.iter().map(|change| (w.member.run, change)))
}

fn turned(head: &Head) -> Result<Option<String>, Error> {
    head.turn.as_ref().map(serde_json::to_string).transpose().map_err(|e| Error::broken(e.to_string()))
}

fn paused_by(head: &Head) -> Option<String> {
    (!head.paused_by.is_empty()).then(|| serde_json::Value::from(head.paused_by.clone()).to_string())
}

fn event<C>(member: &Commit<C>) -> impl Iterator<Item = Result<String, Error>> {
    member.records.iter().map(|record| serde_json::to_string(&record.event).map_err(|e| Error::broken(e.to_string())))
}

/// Appends the members' records, or writes them over.
pub(super) async fn journal<C>(tx: &mut Tx, members: &[Written<'_, C>]) -> Result<(), Error> {
    if members.iter().any(|w| !w.member.records.is_empty()) {
        tx.query(&JOURNAL).bind(records(&members.iter())?).execute().await?;
    }
    Ok(())
}

/// The members' records in columns.
pub(super) fn records<'a, C: 'a>(members: &(impl Iterator<Item = &'a Written<'a, C>> + Clone)) -> Result<Columns, Error> {
    let records = || members.clone().flat_map(|w| w.member.records.iter().map(|record| (w.member.run.0, record)));
    let events = members.clone().flat_map(|w| event(w.member)).collect::<Result<Vec<_>, _>>()?;
    Ok(Columns::default()
        .keys(records().map(|(run, _)| run))
        .numbers(records().map(|(_, record)| record.seq))
        .times(records().map(|(_, record)| Some(record.at)))
        .jsons(events.into_iter().map(Some)))
}

/// Makes the members' rows show their heads.
pub(super) async fn update<C>(tx: &mut Tx, members: &[Written<'_, C>], now: Time) -> Result<(), Error> {
    let columns = heads_of(members, Some(now))?;
    let updated = tx.query(&UPDATE).bind(now).bind(columns).execute().await?;
    if updated == members.len() as u64 { Ok(()) } else { Err(Error::broken("a run that is locked is not there")) }
}

/// The members' heads in columns, as [`UPDATE`] takes them. `now`: when what is released with requests left is due.
pub(super) fn heads_of<C>(members: &[Written<'_, C>], now: Option<Time>) -> Result<Columns, Error> {
    let heads = Heads(members);
    let columns = heads.whereabouts(heads.states(heads.keys())?, now);
    Ok(columns.flags(members.iter().map(|w| w.requested)))
}

/// Members' heads, a group of columns at a time.
pub(super) struct Heads<'a, C>(pub &'a [Written<'a, C>]);

impl<C> Heads<'_, C> {
    fn each(&self) -> impl Iterator<Item = &Head> {
        self.0.iter().map(|w| &w.member.head)
    }

    pub fn keys(&self) -> Columns {
        Columns::default().keys(self.0.iter().map(|w| w.member.run.0))
    }

    /// How far the runs are.
    pub fn states(&self, columns: Columns) -> Result<Columns, Error> {
        let turns = self.each().map(turned).collect::<Result<Vec<_>, _>>()?;
        Ok(columns
            .texts(self.each().map(|head| words::spell(head.state)))
            .optional_texts(self.each().map(|head| head.waiting_for.map(words::spell)))
            .optional_texts(self.each().map(|head| head.ending.map(words::spell)))
            .jsons(turns)
            .numbers(self.each().map(|head| i64::from(head.done)))
            .numbers(self.each().map(|head| i64::from(head.total)))
            .times(self.each().map(|head| head.deadline_at)))
    }

    /// Who works on the runs, and when.
    pub fn whereabouts(&self, columns: Columns, now: Option<Time>) -> Columns {
        let due_at = |w: &Written<'_, C>| match w.member.disposition {
            Disposition::Release { due_at } => now.filter(|_| w.requested).or(due_at),
            Disposition::Keep | Disposition::End => None,
        };
        columns
            .jsons(self.each().map(paused_by))
            .flags(self.0.iter().map(|w| w.member.disposition == Disposition::End))
            .flags(self.0.iter().map(|w| w.member.disposition == Disposition::Keep))
            .times(self.0.iter().map(due_at))
    }
}

/// The transition in one statement, where the database is a round trip away; `None` if it has to go the long way: the run is
/// fenced, parked, or asked something.
pub(super) async fn alone<C>(db: &Db, member: &Commit<C>) -> Result<Option<Time>, Error> {
    if member.resent || !member.changes.is_empty() || !member.requests.is_empty() {
        return Ok(None);
    }
    let Some(once) = db.once(&ALONE) else { return Ok(None) };
    let (RunId(run), head) = (member.run, &member.head);
    let due_at = match member.disposition {
        Disposition::Release { due_at } => due_at,
        Disposition::Keep | Disposition::End => None,
    };
    let events = event(member).collect::<Result<Vec<_>, _>>()?;
    let rows = once
        .bind(db.offset())
        .bind(domain::ids::bucket(run))
        .bind(run)
        .bind(member.epoch)
        .bind(words::spell(head.state))
        .bind(head.waiting_for.map(words::spell))
        .bind(head.ending.map(words::spell))
        .bind(JsonText(turned(head)?))
        .bind(i64::from(head.done))
        .bind(i64::from(head.total))
        .bind(head.deadline_at)
        .bind(JsonText(paused_by(head)))
        .bind(member.disposition == Disposition::End)
        .bind(member.disposition == Disposition::Keep)
        .bind(due_at)
        .bind(
            Columns::default()
                .numbers(member.records.iter().map(|record| record.seq))
                .times(member.records.iter().map(|record| Some(record.at)))
                .jsons(events.into_iter().map(Some)),
        )
        .fetch_all()
        .await?;
    rows.first().map(|row| row.get("now")).transpose()
}

/// The ids of members' runs, for statements that take them all.
pub(super) fn keys(ids: impl IntoIterator<Item = Uuid>) -> Columns {
    Columns::default().keys(ids)
}
