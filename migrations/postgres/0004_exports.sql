-- Receipts of exports. Twin of ../sqlite/0004_exports.sql.

create table exports (
  bucket smallint not null,
  id uuid not null,
  account_id uuid not null,
  workspace_id uuid not null,
  format text not null check (format in ('csv', 'json', 'ndjson')),
  -- Names of sections in their order, with commas between them.
  include text not null,
  csv_safe boolean not null,
  created_by_kind text not null,
  created_by_id uuid not null,
  started_at timestamptz not null,
  -- Not set while it runs, nor ever if its process died.
  ended_at timestamptz,
  complete boolean not null,
  row_count bigint,
  byte_count bigint,
  -- In hex, over the bytes before compression.
  sha256 text,
  primary key (bucket, id),
  foreign key (bucket, workspace_id) references workspaces (bucket, id)
);
create index exports_by_workspace on exports (bucket, workspace_id);
