-- What the audit log is searched by. Twin of ../sqlite/0005_audit.sql.

-- An entry's own text stays as it was hashed; these columns repeat of it what is searched.
alter table audit_entries add column outcome text not null default '';
alter table audit_entries add column actor_id uuid;
alter table audit_entries add column run_id uuid;
-- This database's JSON knows no NUL: where a text has one, only what is read of it here is spelled otherwise.
update audit_entries set
  outcome = replace(entry, '\u0000', '\ufffd')::jsonb ->> 'outcome',
  actor_id = (replace(entry, '\u0000', '\ufffd')::jsonb #>> '{actor,id}')::uuid,
  run_id = (replace(entry, '\u0000', '\ufffd')::jsonb ->> 'run_id')::uuid;
create index audit_entries_by_actor on audit_entries (bucket, account_id, actor_id, seq);
create index audit_entries_by_action on audit_entries (bucket, account_id, action, seq);
create index audit_entries_by_outcome on audit_entries (bucket, account_id, outcome, seq);
create index audit_entries_by_run on audit_entries (bucket, account_id, run_id, seq) where run_id is not null;
create index audit_entries_by_time on audit_entries (bucket, account_id, occurred_at, seq);

-- Which entries name a thing among their targets.
create table audit_targets (
  bucket smallint not null,
  account_id uuid not null,
  target_id uuid not null,
  seq bigint not null,
  primary key (bucket, account_id, target_id, seq)
);
insert into audit_targets (bucket, account_id, target_id, seq)
select distinct e.bucket, e.account_id, (t.target ->> 'id')::uuid, e.seq
from audit_entries e, jsonb_array_elements(replace(e.entry, '\u0000', '\ufffd')::jsonb -> 'targets') as t(target);

-- When the last entry was written: none is stamped with an earlier time than the one before it.
alter table account_heads add column audit_at timestamptz;
update account_heads set audit_at = (
  select max(e.occurred_at) from audit_entries e where e.bucket = account_heads.bucket and e.account_id = account_heads.account_id);
