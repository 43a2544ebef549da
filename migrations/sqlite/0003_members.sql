-- The outbox of memberships: what the permission system is still to be told. Twin of ../postgres/0003_members.sql.

-- One row per change of a principal's role on an account or workspace, committed with the change. The changes of one
-- principal on one scope are a line: they are delivered in the order of their ordinals, one after the other.
create table membership_changes (
  bucket integer not null,
  id blob not null,
  account_id blob not null,
  scope text not null check (scope in ('account', 'workspace')),
  scope_id blob not null,
  principal_kind text not null,
  principal_id blob not null,
  ordinal integer not null,
  role_before text check (role_before in ('owner', 'admin', 'member', 'viewer')),
  role_after text check (role_after in ('owner', 'admin', 'member', 'viewer')),
  -- Until it is delivered, the principal's requests there are refused: it takes something away.
  reduces integer not null,
  -- Whose writes this one's delivery seals: the change before it in the line, at first the run that made the scope.
  predecessor blob not null,
  created_at integer not null,
  due_at integer not null,
  attempts integer not null,
  last_error text,
  delivered_at integer,
  -- From then on every read of the permission system sees it, however stale.
  settled_at integer,
  primary key (bucket, id),
  unique (bucket, scope, scope_id, principal_kind, principal_id, ordinal),
  foreign key (bucket, account_id) references accounts (bucket, id)
) strict;
create index membership_changes_due on membership_changes (due_at) where delivered_at is null;
create index membership_changes_unsettled_scope on membership_changes (bucket, scope_id) where settled_at is null;
create index membership_changes_unsettled_principal on membership_changes (principal_id) where settled_at is null;

create index memberships_of_scope on memberships (bucket, scope_id, principal_id);
