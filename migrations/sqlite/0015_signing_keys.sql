-- The keys that the built-in issuer signs tokens with. Twin of ../postgres/0015_signing_keys.sql: same tables, same columns, same order.

create table signing_keys (
  -- 1 is the installation's first. Tokens name no key that older binaries have signed: they are of this one.
  number integer not null primary key,
  id blob not null unique,
  public_key blob not null,
  -- The private key, sealed under the installation's key file.
  sealed_key blob not null,
  created_at integer not null,
  -- Known to everybody who checks tokens before it signs any.
  signs_from integer not null,
  -- From then on none of its tokens is accepted.
  revoked_at integer
) strict;

insert into schema_compatibility (migration, oldest_binary) values (15, '0.1.0');
