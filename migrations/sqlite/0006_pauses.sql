-- Operators' pauses, and what they hold back. Twin of ../postgres/0006_pauses.sql: same tables, same columns, same order.

-- In the bucket of the account that is paused, or of the platform: beside the audit entry that tells of it.
create table pauses (
  bucket integer not null,
  kind text not null check (kind in ('backend', 'saga', 'account')),
  name text not null,
  undo integer not null,
  comment text not null,
  created_by_kind text not null,
  created_by_id blob not null,
  created_at integer not null,
  primary key (bucket, kind, name)
) strict;

-- Scopes (`kind:name`) of the pauses that hold a run back, as a list; null if none does.
alter table provisioning_runs add column paused_by text;
create index provisioning_runs_paused on provisioning_runs (turn, id) where paused_by is not null and owner is null and not terminal;
