-- What a worker can execute. Twin of ../postgres/0012_worker_sagas.sql.

-- The digests of its definitions, as a list. None: a Berth that did not say yet.
alter table workers add column definitions text;
insert into schema_compatibility (migration, oldest_binary) values (12, '0.1.0');
