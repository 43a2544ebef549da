-- What has to be begun again, and what can be forgotten. Twin of ../sqlite/0010_unfinished.sql.

-- Freezes that are not carried out and purges that have not come to their end: few, and mostly with a run at work.
create index workspaces_unapplied on workspaces (id) where freeze_applied < freeze_revision and status <> 'purging';
create index workspaces_half_purged on workspaces (id) where status = 'purging' and purged_at is null;

-- When another change took this one's place at the end of its line, or its workspace was purged: it is forgotten in time.
alter table membership_changes add column superseded_at timestamptz;
update membership_changes set superseded_at = (
  select min(n.created_at) from membership_changes n
  where n.bucket = membership_changes.bucket and n.scope = membership_changes.scope and n.scope_id = membership_changes.scope_id
    and n.principal_kind = membership_changes.principal_kind and n.principal_id = membership_changes.principal_id
    and n.ordinal > membership_changes.ordinal);
create index membership_changes_superseded on membership_changes (superseded_at) where superseded_at is not null;

insert into schema_compatibility (migration, oldest_binary) values (10, '0.1.0');
