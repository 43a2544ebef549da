-- Tells a write of relationships that was lost from the one that has its number now. Twin of ../sqlite/0016_relationship_mark.sql.
-- A binary that does not know it raises the number only, by which the two are told apart as well.
alter table relationship_revision add column mark uuid;
insert into schema_compatibility (migration, oldest_binary) values (16, '0.1.0');
