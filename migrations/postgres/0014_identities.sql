-- Users of other issuers, and users whose tokens are refused. Twin of ../sqlite/0014_identities.sql.

-- Which user a subject of an outside issuer is. Users belong to no account: what is said of them stands in the platform's bucket, so
-- that it and its audit entry are one transaction.
create table external_identities (
  bucket smallint not null,
  issuer text not null,
  subject text not null,
  user_id uuid not null,
  created_at timestamptz not null,
  primary key (bucket, issuer, subject)
);
create index external_identities_by_user on external_identities (bucket, user_id);

-- Users who were revoked once. Without `revoked_at`: and restored since; their older tokens are not accepted all the same.
create table user_revocations (
  bucket smallint not null,
  user_id uuid not null,
  revoked_at timestamptz,
  tokens_not_before timestamptz not null,
  primary key (bucket, user_id)
);
insert into schema_compatibility (migration, oldest_binary) values (14, '0.1.0');
