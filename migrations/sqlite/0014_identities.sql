-- Users of other issuers, and users whose tokens are refused. Twin of ../postgres/0014_identities.sql.

-- Which user a subject of an outside issuer is. Users belong to no account: what is said of them stands in the platform's bucket, so
-- that it and its audit entry are one transaction.
create table external_identities (
  bucket integer not null,
  issuer text not null,
  subject text not null,
  user_id blob not null,
  created_at integer not null,
  primary key (bucket, issuer, subject)
) strict;
create index external_identities_by_user on external_identities (bucket, user_id);

-- Users who were revoked once. Without `revoked_at`: and restored since; their older tokens are not accepted all the same.
create table user_revocations (
  bucket integer not null,
  user_id blob not null,
  revoked_at integer,
  tokens_not_before integer not null,
  primary key (bucket, user_id)
) strict;
insert into schema_compatibility (migration, oldest_binary) values (14, '0.1.0');
