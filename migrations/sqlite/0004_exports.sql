-- Receipts of exports. Twin of ../postgres/0004_exports.sql.

create table exports (
  bucket integer not null,
  id blob not null,
  account_id blob not null,
  workspace_id blob not null,
  format text not null check (format in ('csv', 'json', 'ndjson')),
  -- Names of sections in their order, with commas between them.
  include text not null,
  csv_safe integer not null,
  created_by_kind text not null,
  created_by_id blob not null,
  started_at integer not null,
  -- Not set while it runs, nor ever if its process died.
  ended_at integer,
  complete integer not null,
  row_count integer,
  byte_count integer,
  -- In hex, over the bytes before compression.
  sha256 text,
  primary key (bucket, id),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
) strict;
create index exports_by_workspace on exports (bucket, workspace_id);
