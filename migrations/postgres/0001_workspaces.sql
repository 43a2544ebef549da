-- Everything the control plane stores. Twin of ../sqlite/0001_workspaces.sql: same tables, same columns, same order.
-- Tenant tables begin with the bucket, and so do their primary, unique and foreign keys. Global tables stand alone.

create table accounts (
  bucket smallint not null,
  id uuid not null,
  name text not null,
  slug text not null,
  status text not null check (status in ('provisioning', 'active', 'failed')),
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  revision bigint not null,
  permissions_token text,
  run_id uuid not null,
  primary key (bucket, id)
);
create index accounts_by_id on accounts (id);
create index accounts_by_creator on accounts (created_by_id, created_by_kind, id);

-- One row per account that every commit of the account locks last: the end of its audit chain, its quota, its place in
-- the queue. The nil uuid's is the platform's.
create table account_heads (
  bucket smallint not null,
  account_id uuid not null,
  audit_seq bigint not null,
  audit_hash bytea not null,
  workspaces_live bigint not null,
  workspaces_max bigint not null,
  last_turn bigint not null,
  primary key (bucket, account_id)
);
insert into account_heads (bucket, account_id, audit_seq, audit_hash, workspaces_live, workspaces_max, last_turn)
values (0, '00000000-0000-0000-0000-000000000000', 0, decode(repeat('00', 32), 'hex'), 0, 0, 0);

create table workspaces (
  bucket smallint not null,
  id uuid not null,
  account_id uuid not null,
  name text not null,
  folded_name text not null,
  slug text not null,
  status text not null check (status in ('provisioning', 'active', 'failed', 'deleted', 'purging')),
  region text not null,
  tenancy_model text not null check (tenancy_model in ('shared', 'dedicated')),
  holds_quota boolean not null,
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  revision bigint not null,
  permissions_token text,
  run_id uuid not null,
  primary key (bucket, id),
  foreign key (bucket, account_id) references accounts (bucket, id)
);
create unique index workspaces_live_slug on workspaces (bucket, account_id, slug) where status in ('provisioning', 'active');
create index workspaces_by_account on workspaces (account_id, id);

create table workspace_aliases (
  bucket smallint not null,
  account_id uuid not null,
  folded_name text not null,
  workspace_id uuid not null,
  created_at timestamptz not null,
  primary key (bucket, account_id, folded_name),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
);
create index workspace_aliases_by_workspace on workspace_aliases (bucket, workspace_id);

create table environments (
  bucket smallint not null,
  id uuid not null,
  workspace_id uuid not null,
  name text not null check (name in ('dev', 'staging', 'prod')),
  is_default boolean not null,
  status text not null check (status in ('provisioning', 'active')),
  created_at timestamptz not null,
  primary key (bucket, id),
  unique (bucket, workspace_id, name),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
);

create table backend_workspaces (
  bucket smallint not null,
  id uuid not null,
  workspace_id uuid not null,
  environment_id uuid not null,
  backend text not null,
  locator text not null,
  created_at timestamptz not null,
  primary key (bucket, id),
  foreign key (bucket, workspace_id) references workspaces (bucket, id),
  foreign key (bucket, environment_id) references environments (bucket, id)
);
create index backend_workspaces_by_workspace on backend_workspaces (bucket, workspace_id);
create index backend_workspaces_by_environment on backend_workspaces (bucket, environment_id);

create table memberships (
  bucket smallint not null,
  scope text not null check (scope in ('account', 'workspace')),
  scope_id uuid not null,
  principal_kind text not null,
  principal_id uuid not null,
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  created_at timestamptz not null,
  primary key (bucket, scope, scope_id, principal_kind, principal_id)
);
create index memberships_by_principal on memberships (principal_id, principal_kind, scope, scope_id);

create table provisioning_runs (
  bucket smallint not null,
  id uuid not null,
  account_id uuid not null,
  workspace_id uuid,
  saga text not null,
  saga_version bigint not null,
  saga_digest text not null,
  retry_of uuid,
  retried_by uuid,
  input jsonb not null,
  on_failure text not null check (on_failure in ('rollback', 'hold')),
  -- At most one exclusive run is alive per workspace, or per account for runs about an account.
  exclusive boolean not null,
  trace jsonb not null,
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  -- Raised by every commit that a reader can see; the ETag.
  version bigint not null,
  state text not null,
  waiting_for text,
  ending text,
  turned jsonb,
  done bigint not null,
  total bigint not null,
  deadline_at timestamptz,
  terminal boolean not null,
  -- Who executes the run; every write of the engine carries the epoch, which each claim raises.
  owner uuid,
  epoch bigint not null,
  -- A verb waits to be journaled by the owner.
  requested boolean not null,
  -- Place in the queue, in microseconds: fair among accounts.
  turn bigint not null,
  due_at timestamptz,
  primary key (bucket, id),
  foreign key (bucket, account_id) references accounts (bucket, id),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
);
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
  bucket smallint not null,
  run_id uuid not null,
  seq bigint not null,
  at timestamptz not null,
  event jsonb not null,
  primary key (bucket, run_id, seq),
  foreign key (bucket, run_id) references provisioning_runs (bucket, id)
);

create table run_requests (
  bucket smallint not null,
  id uuid not null,
  run_id uuid not null,
  ordinal bigint not null,
  verb text not null,
  step text,
  actor jsonb not null,
  comment text,
  requested_at timestamptz not null,
  journaled_at timestamptz,
  primary key (bucket, id),
  unique (bucket, run_id, ordinal),
  foreign key (bucket, run_id) references provisioning_runs (bucket, id)
);

create table idempotency (
  bucket smallint not null,
  account_id uuid not null,
  -- SHA-256 over principal, method, path and key.
  scope bytea not null,
  fingerprint bytea not null,
  status smallint not null,
  location text,
  -- Text, so that a replay is what was answered to the byte.
  body text not null,
  created_at timestamptz not null,
  primary key (bucket, account_id, scope)
);
create index idempotency_by_age on idempotency (created_at);

create table audit_entries (
  bucket smallint not null,
  account_id uuid not null,
  seq bigint not null,
  id uuid not null,
  workspace_id uuid,
  action text not null,
  occurred_at timestamptz not null,
  hash bytea not null,
  -- The entry whole, as it was hashed: text, because a database's own form of JSON may reword it.
  entry text not null,
  primary key (bucket, account_id, seq)
);
create index audit_entries_by_workspace on audit_entries (bucket, account_id, workspace_id, seq);

-- Global tables: no foreign key to a tenant table, never in a transaction with one.

create table principals (
  id uuid not null,
  kind text not null check (kind in ('user', 'service_account')),
  name text not null,
  account_id uuid,
  created_at timestamptz not null,
  primary key (id),
  unique (kind, name)
);

create table workers (
  id uuid not null,
  lease_until timestamptz not null,
  registered_at timestamptz not null,
  dead_at timestamptz,
  primary key (id)
);
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
);
create index relationships_by_subject on relationships (subject_type, subject_id);

create table relationship_revision (
  id smallint not null check (id = 1),
  revision bigint not null,
  primary key (id)
);
insert into relationship_revision (id, revision) values (1, 0);
