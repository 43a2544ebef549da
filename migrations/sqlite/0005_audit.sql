-- What the audit log is searched by. Twin of ../postgres/0005_audit.sql.

-- An entry's own text stays as it was hashed; these columns repeat of it what is searched.
alter table audit_entries add column outcome text not null default '';
alter table audit_entries add column actor_id blob;
alter table audit_entries add column run_id blob;
update audit_entries set
  outcome = entry ->> '$.outcome',
  actor_id = unhex(replace(entry ->> '$.actor.id', '-', '')),
  run_id = unhex(replace(entry ->> '$.run_id', '-', ''));
create index audit_entries_by_actor on audit_entries (bucket, account_id, actor_id, seq);
create index audit_entries_by_action on audit_entries (bucket, account_id, action, seq);
create index audit_entries_by_outcome on audit_entries (bucket, account_id, outcome, seq);
create index audit_entries_by_run on audit_entries (bucket, account_id, run_id, seq) where run_id is not null;
create index audit_entries_by_time on audit_entries (bucket, account_id, occurred_at, seq);

-- Which entries name a thing among their targets.
create table audit_targets (
  bucket integer not null,
  account_id blob not null,
  target_id blob not null,
  seq integer not null,
  primary key (bucket, account_id, target_id, seq)
) strict;
insert into audit_targets (bucket, account_id, target_id, seq)
select distinct e.bucket, e.account_id, unhex(replace(t.value ->> '$.id', '-', '')), e.seq
from audit_entries e, json_each(e.entry, '$.targets') t;

-- When the last entry was written: none is stamped with an earlier time than the one before it.
alter table account_heads add column audit_at integer;
update account_heads set audit_at = (
  select max(e.occurred_at) from audit_entries e where e.bucket = account_heads.bucket and e.account_id = account_heads.account_id);
