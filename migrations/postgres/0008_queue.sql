-- The queue of runs, made for many workers and many finished runs. Twin of ../sqlite/0008_queue.sql.

-- A run is new until it is claimed for the first time, or asked something; then it is due at a time. Neither index looks at
-- the state, so that a transition between claim and end touches no index at all.
drop index provisioning_runs_due;
drop index provisioning_runs_turn;
create index provisioning_runs_turn on provisioning_runs (turn, id) where owner is null and epoch = 0 and not requested;
create index provisioning_runs_due on provisioning_runs (due_at, id)
  where owner is null and not terminal and (epoch > 0 or requested);

-- Room for a run's next version in its own page; a run has a dozen or more. The journal is written under the lock of the run's
-- row, by whoever may: that there is such a run need not be asked of every record.
alter table provisioning_runs set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
alter table run_journal drop constraint run_journal_bucket_run_id_fkey;
alter table run_journal set (autovacuum_vacuum_insert_scale_factor = 0.1);
alter table account_heads set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
alter table workers set (fillfactor = 50);
