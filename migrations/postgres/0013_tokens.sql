-- Service accounts, their secrets, and long-lived tokens. Twin of ../sqlite/0013_tokens.sql: same tables, same columns, same order.

-- The principal of the same id stands in `principals`, which is global; what belongs to the account stands here.
create table service_accounts (
  bucket smallint not null,
  id uuid not null,
  account_id uuid not null,
  name text not null,
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz not null,
  -- From then on it gets no token, and those that it has are refused.
  disabled_at timestamptz,
  -- When the permission system was told whose it is.
  related_at timestamptz,
  primary key (bucket, id),
  unique (bucket, account_id, name),
  foreign key (bucket, account_id) references accounts (bucket, id)
);
create index service_accounts_unrelated on service_accounts (id) where related_at is null;

create table service_account_secrets (
  bucket smallint not null,
  id uuid not null,
  service_account_id uuid not null,
  -- SHA-256 of the 32 random bytes.
  hash bytea not null,
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  -- To within some minutes.
  last_used_at timestamptz,
  deleted_at timestamptz,
  primary key (bucket, id),
  foreign key (bucket, service_account_id) references service_accounts (bucket, id)
);
create index service_account_secrets_live on service_account_secrets (bucket, service_account_id) where deleted_at is null;

-- Whether the workspace's tokens are shut, as of which revision of its freezes.
alter table workspaces add column tokens_frozen boolean not null default false;
alter table workspaces add column tokens_revision bigint not null default 0;

-- Where a workspace goes that a token was asked for by name.
alter table accounts add column default_region text;

-- Long-lived tokens, in the bucket of the service account's account, or of the platform where a user's.
create table api_tokens (
  bucket smallint not null,
  id uuid not null,
  principal_kind text not null,
  principal_id uuid not null,
  name text not null,
  hash bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz,
  primary key (bucket, id)
);
create index api_tokens_by_principal on api_tokens (principal_id, id) where revoked_at is null;

insert into schema_compatibility (migration, oldest_binary) values (13, '0.1.0');
