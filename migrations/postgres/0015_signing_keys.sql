-- The keys that the built-in issuer signs tokens with. Twin of ../sqlite/0015_signing_keys.sql: same tables, same columns, same order.

create table signing_keys (
  -- 1 is the installation's first. Tokens name no key that older binaries have signed: they are of this one.
  number bigint not null primary key,
  id uuid not null unique,
  public_key bytea not null,
  -- The private key, sealed under the installation's key file.
  sealed_key bytea not null,
  created_at timestamptz not null,
  -- Known to everybody who checks tokens before it signs any.
  signs_from timestamptz not null,
  -- From then on none of its tokens is accepted.
  revoked_at timestamptz
);

insert into schema_compatibility (migration, oldest_binary) values (15, '0.1.0');
