-- What several processes of several versions know of their database. Twin of ../postgres/0009_processes.sql.

-- Each migration from here on says in its own file which is the oldest Berth that may run on a database that has it.
create table schema_compatibility (
  migration integer not null,
  oldest_binary text not null,
  primary key (migration)
) strict;
insert into schema_compatibility (migration, oldest_binary) values (9, '0.1.0');

-- At most one row, in the platform's bucket under its nil uuid: who became the first operator, and when.
create table platform (
  bucket integer not null,
  id blob not null,
  operator_kind text not null,
  operator_id blob not null,
  bootstrapped_at integer not null,
  primary key (bucket, id)
) strict;
