-- Lookups by name. Twin of ../postgres/0007_names.sql.

create index workspaces_by_live_name on workspaces (bucket, account_id, folded_name) where status in ('provisioning', 'active');
