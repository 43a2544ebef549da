-- The queue of runs, made for many workers and many finished runs. Twin of ../postgres/0008_queue.sql.

drop index provisioning_runs_due;
drop index provisioning_runs_turn;
create index provisioning_runs_turn on provisioning_runs (turn, id) where owner is null and epoch = 0 and not requested;
create index provisioning_runs_due on provisioning_runs (due_at, id)
  where owner is null and not terminal and (epoch > 0 or requested);
