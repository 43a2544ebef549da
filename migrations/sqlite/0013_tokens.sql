-- Service accounts, their secrets, and long-lived tokens. Twin of ../postgres/0013_tokens.sql: same tables, same columns, same order.

-- The principal of the same id stands in `principals`, which is global; what belongs to the account stands here.
create table service_accounts (
  bucket integer not null,
  id blob not null,
  account_id blob not null,
  name text not null,
  created_by_kind text not null,
  created_by_id blob not null,
  created_at integer not null,
  -- From then on it gets no token, and those that it has are refused.
  disabled_at integer,
  -- When the permission system was told whose it is.
  related_at integer,
  primary key (bucket, id),
  unique (bucket, account_id, name),
  foreign key (bucket, account_id) references accounts (bucket, id)
) strict;
create index service_accounts_unrelated on service_accounts (id) where related_at is null;

create table service_account_secrets (
  bucket integer not null,
  id blob not null,
  service_account_id blob not null,
  -- SHA-256 of the 32 random bytes.
  hash blob not null,
  created_by_kind text not null,
  created_by_id blob not null,
  created_at integer not null,
  expires_at integer,
  -- To within some minutes.
  last_used_at integer,
  deleted_at integer,
  primary key (bucket, id),
  foreign key (bucket, service_account_id) references service_accounts (bucket, id)
) strict;
create index service_account_secrets_live on service_account_secrets (bucket, service_account_id) where deleted_at is null;

-- Whether the workspace's tokens are shut, as of which revision of its freezes.
alter table workspaces add column tokens_frozen integer not null default 0;
alter table workspaces add column tokens_revision integer not null default 0;

-- Where a workspace goes that a token was asked for by name.
alter table accounts add column default_region text;

-- Long-lived tokens, in the bucket of the service account's account, or of the platform where a user's.
create table api_tokens (
  bucket integer not null,
  id blob not null,
  principal_kind text not null,
  principal_id blob not null,
  name text not null,
  hash blob not null,
  created_at integer not null,
  expires_at integer not null,
  last_used_at integer,
  revoked_at integer,
  primary key (bucket, id)
) strict;
create index api_tokens_by_principal on api_tokens (principal_id, id) where revoked_at is null;

insert into schema_compatibility (migration, oldest_binary) values (13, '0.1.0');
