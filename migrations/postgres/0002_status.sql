-- Freezes, the workspace's later life, and what carries a freeze to backend logins. Twin of ../sqlite/0002_status.sql.

-- Where the workspace's backends come from: the run that made them. `run_id` moves on to later runs.
alter table workspaces add column made_by uuid;
update workspaces set made_by = run_id;
-- Raised by every change of the set of freezes; apply-freezes starts over when it moves.
alter table workspaces add column freeze_revision bigint not null default 0;
-- The revision that apply-freezes carried out last.
alter table workspaces add column freeze_applied bigint not null default 0;
alter table workspaces add column labels jsonb not null default '{}';
alter table workspaces add column termination_protection boolean not null default false;
-- What a restore makes of a deleted workspace.
alter table workspaces add column status_before text check (status_before in ('active', 'failed'));
alter table workspaces add column deleted_at timestamptz;
alter table workspaces add column purge_at timestamptz;
-- All that it had is gone; the row stays for its runs and its audit entries.
alter table workspaces add column purged_at timestamptz;
create index workspaces_to_purge on workspaces (purge_at) where status = 'deleted';

create table workspace_freezes (
  bucket smallint not null,
  workspace_id uuid not null,
  source text not null check (source in ('account_admin', 'billing', 'platform', 'security', 'legal', 'deletion')),
  mode text not null check (mode in ('read_only', 'blocked')),
  reason_code text not null,
  note text,
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  primary key (bucket, workspace_id, source),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
);
create index workspace_freezes_expiring on workspace_freezes (expires_at) where expires_at is not null;

-- Whether the backend lets the workspace's own user in, as of which revision of the freezes.
alter table backend_workspaces add column login_open boolean not null default true;
alter table backend_workspaces add column login_revision bigint not null default 0;

-- A freeze holds the run at its next step boundary. Changed under the run's lock, with the request that says so.
alter table provisioning_runs add column parked boolean not null default false;
-- apply-freezes runs beside the one exclusive run, at most one of them alive.
create unique index provisioning_runs_one_beside on provisioning_runs (bucket, workspace_id)
  where not exclusive and not terminal and workspace_id is not null;
