-- The outbox of memberships: what the permission system is still to be told. Twin of ../sqlite/0003_members.sql.

-- One row per change of a principal's role on an account or workspace, committed with the change. The changes of one
-- principal on one scope are a line: they are delivered in the order of their ordinals, one after the other.
create table membership_changes (
  bucket smallint not null,
  id uuid not null,
  account_id uuid not null,
  scope text not null check (scope in ('account', 'workspace')),
  scope_id uuid not null,
  principal_kind text not null,
  principal_id uuid not null,
  ordinal bigint not null,
  role_before text check (role_before in ('owner', 'admin', 'member', 'viewer')),
  role_after text check (role_after in ('owner', 'admin', 'member', 'viewer')),
  -- Until it is delivered, the principal's requests there are refused: it takes something away.
  reduces boolean not null,
  -- Whose writes this one's delivery seals: the change before it in the line, at first the run that made the scope.
  predecessor uuid not null,
  created_at timestamptz not null,
  due_at timestamptz not null,
  attempts bigint not null,
  last_error text,
  delivered_at timestamptz,
  -- From then on every read of the permission system sees it, however stale.
  settled_at timestamptz,
  primary key (bucket, id),
  unique (bucket, scope, scope_id, principal_kind, principal_id, ordinal),
  foreign key (bucket, account_id) references accounts (bucket, id)
);
create index membership_changes_due on membership_changes (due_at) where delivered_at is null;
create index membership_changes_unsettled_scope on membership_changes (bucket, scope_id) where settled_at is null;
create index membership_changes_unsettled_principal on membership_changes (principal_id) where settled_at is null;

create index memberships_of_scope on memberships (bucket, scope_id, principal_id);
