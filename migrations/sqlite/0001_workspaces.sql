-- Everything the control plane stores. Times are microseconds since 1970, uuids 16 bytes, JSON text. Twin of ../postgres/0001_workspaces.sql: same tables, same columns, same order.
-- Tenant tables begin with the bucket, and so do their primary, unique and foreign keys. Global tables stand alone.

create table accounts (
  bucket integer not null,
  id blob not null,
  name text not null,
  slug text not null,
  status text not null check (status in ('provisioning', 'active', 'failed')),
  created_by_kind text not null,
  created_by_id blob not null,
  created_at integer not null,
  updated_at integer not null,
  revision integer not null,
  permissions_token text,
  run_id blob not null,
  primary key (bucket, id)
) strict;
create index accounts_by_id on accounts (id);
create index accounts_by_creator on accounts (created_by_id, created_by_kind, id);

-- One row per account that every commit of the account locks last: the end of its audit chain, its quota, its place in
-- the queue. The nil uuid's is the platform's.
create table account_heads (
  bucket integer not null,
  account_id blob not null,
  audit_seq integer not null,
  audit_hash blob not null,
  workspaces_live integer not null,
  workspaces_max integer not null,
  last_turn integer not null,
  primary key (bucket, account_id)
) strict;
insert into account_heads (bucket, account_id, audit_seq, audit_hash, workspaces_live, workspaces_max, last_turn)
values (0, zeroblob(16), 0, zeroblob(32), 0, 0, 0);

create table workspaces (
  bucket integer not null,
  id blob not null,
  account_id blob not null,
  name text not null,
  folded_name text not null,
  slug text not null,
  status text not null check (status in ('provisioning', 'active', 'failed', 'deleted', 'purging')),
  region text not null,
  tenancy_model text not null check (tenancy_model in ('shared', 'dedicated')),
  holds_quota integer not null,
  created_by_kind text not null,
  created_by_id blob not null,
  created_at integer not null,
  updated_at integer not null,
  revision integer not null,
  permissions_token text,
  run_id blob not null,
  primary key (bucket, id),
  foreign key (bucket, account_id) references accounts (bucket, id)
) strict;
create unique index workspaces_live_slug on workspaces (bucket, account_id, slug) where status in ('provisioning', 'active');
create index workspaces_by_account on workspaces (account_id, id);

create table workspace_aliases (
  bucket integer not null,
  account_id blob not null,
  folded_name text not null,
  workspace_id blob not null,
  created_at integer not null,
  primary key (bucket, account_id, folded_name),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
) strict;
create index workspace_aliases_by_workspace on workspace_aliases (bucket, workspace_id);

create table environments (
  bucket integer not null,
  id blob not null,
  workspace_id blob not null,
  name text not null check (name in ('dev', 'staging', 'prod')),
  is_default integer not null,
  status text not null check (status in ('provisioning', 'active')),
  created_at integer not null,
  primary key (bucket, id),
  unique (bucket, workspace_id, name),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
) strict;

create table backend_workspaces (
  bucket integer not null,
  id blob not null,
  workspace_id blob not null,
  environment_id blob not null,
  backend text not null,
  locator text not null,
  created_at integer not null,
  primary key (bucket, id),
  foreign key (bucket, workspace_id) references workspaces (bucket, id),
  foreign key (bucket, environment_id) references environments (bucket, id)
) strict;
create index backend_workspaces_by_workspace on backend_workspaces (bucket, workspace_id);
create index backend_workspaces_by_environment on backend_workspaces (bucket, environment_id);

create table memberships (
  bucket integer not null,
  scope text not null check (scope in ('account', 'workspace')),
  scope_id blob not null,
  principal_kind text not null,
  principal_id blob not null,
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  created_at integer not null,
  primary key (bucket, scope, scope_id, principal_kind, principal_id)
) strict;
create index memberships_by_principal on memberships (principal_id, principal_kind, scope, scope_id);

create table provisioning_runs (
  bucket integer not null,
  id blob not null,
  account_id blob not null,
  workspace_id blob,
  saga text not null,
  saga_version integer not null,
  saga_digest text not null,
  retry_of blob,
  retried_by blob,
  input text not null,
  on_failure text not null check (on_failure in ('rollback', 'hold')),
  -- At most one exclusive run is alive per workspace, or per account for runs about an account.
  exclusive integer not null,
  trace text not null,
  created_by_kind text not null,
  created_by_id blob not null,
  created_at integer not null,
  updated_at integer not null,
  -- Raised by every commit that a reader can see; the ETag.
  version integer not null,
  state text not null,
  waiting_for text,
  ending text,
  turned text,
  done integer not null,
  total integer not null,
  deadline_at integer,
  terminal integer not null,
  -- Who executes the run; every write of the engine carries the epoch, which each claim raises.
  owner blob,
  epoch integer not null,
  -- A verb waits to be journaled by the owner.
  requested integer not null,
  -- Place in the queue, in microseconds: fair among accounts.
  turn integer not null,
  due_at integer,
  primary key (bucket, id),
  foreign key (bucket, account_id) references accounts (bucket, id),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
) strict;
create unique index provisioning_runs_one_per_workspace on provisioning_runs (bucket, workspace_id)
  where exclusive and not terminal and workspace_id is not null;
create unique index provisioning_runs_one_per_account on provisioning_runs (bucket, account_id)
  where exclusive and not terminal and workspace_id is null;
create index provisioning_runs_due on provisioning_runs (due_at) where owner is null and not terminal;
create index provisioning_runs_turn on provisioning_runs (turn) where owner is null and state = 'pending';
create index provisioning_runs_owned on provisioning_runs (owner) where owner is not null;
create index provisioning_runs_live on provisioning_runs (created_at) where not terminal;
create index provisioning_runs_by_id on provisioning_runs (id);
create index provisioning_runs_by_account on provisioning_runs (account_id, id);
create index provisioning_runs_by_workspace on provisioning_runs (workspace_id, id);

create table run_journal (
  bucket integer not null,
  run_id blob not null,
  seq integer not null,
  at integer not null,
  event text not null,
  primary key (bucket, run_id, seq),
  foreign key (bucket, run_id) references provisioning_runs (bucket, id)
) strict;

create table run_requests (
  bucket integer not null,
  id blob not null,
  run_id blob not null,
  ordinal integer not null,
  verb text not null,
  step text,
  actor text not null,
  comment text,
  requested_at integer not null,
  journaled_at integer,
  primary key (bucket, id),
  unique (bucket, run_id, ordinal),
  foreign key (bucket, run_id) references provisioning_runs (bucket, id)
) strict;

create table idempotency (
  bucket integer not null,
  account_id blob not null,
  -- SHA-256 over principal, method, path and key.
  scope blob not null,
  fingerprint blob not null,
  status integer not null,
  location text,
  -- Text, so that a replay is what was answered to the byte.
  body text not null,
  created_at integer not null,
  primary key (bucket, account_id, scope)
) strict;
create index idempotency_by_age on idempotency (created_at);

create table audit_entries (
  bucket integer not null,
  account_id blob not null,
  seq integer not null,
  id blob not null,
  workspace_id blob,
  action text not null,
  occurred_at integer not null,
  hash blob not null,
  -- The entry whole, as it was hashed: text, because a database's own form of JSON may reword it.
  entry text not null,
  primary key (bucket, account_id, seq)
) strict;
create index audit_entries_by_workspace on audit_entries (bucket, account_id, workspace_id, seq);

-- Global tables: no foreign key to a tenant table, never in a transaction with one.

create table principals (
  id blob not null,
  kind text not null check (kind in ('user', 'service_account')),
  name text not null,
  account_id blob,
  created_at integer not null,
  primary key (id),
  unique (kind, name)
) strict;

create table workers (
  id blob not null,
  lease_until integer not null,
  registered_at integer not null,
  dead_at integer,
  primary key (id)
) strict;
create index workers_alive on workers (lease_until) where dead_at is null;
create index workers_dead on workers (dead_at) where dead_at is not null;

-- The embedded permission system's own tables.

create table relationships (
  resource_type text not null,
  resource_id text not null,
  relation text not null,
  subject_type text not null,
  subject_id text not null,
  primary key (resource_type, resource_id, relation, subject_type, subject_id)
) strict;
create index relationships_by_subject on relationships (subject_type, subject_id);

create table relationship_revision (
  id integer not null check (id = 1),
  revision integer not null,
  primary key (id)
) strict;
insert into relationship_revision (id, revision) values (1, 0);
