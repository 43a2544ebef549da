//! The loop behind [`domain::housekeeping`]: asks each duty in turn, then sleeps until the first of them wants to be asked
//! again. It looks up once a poll at least, because others than this process make work for it: so one process looks for all of them,
//! the one whose worker has been there for longest. The others look more seldom, in case it lives and does not get to it.

use std::time::Duration;

use domain::Berth;
use domain::housekeeping::{
    Done, Walk, apply_freezes_again, deliver_membership_changes, expire_freezes, forget_keys, forget_membership_changes, forget_runs,
    relate_service_accounts, start_purges,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// After this many attempts it is worth a person's look.
const OLD: u32 = 5;
/// How many polls a process rests whose worker is not the first.
const SELDOM: u32 = 10;

/// `runs_kept`: how long runs are kept after their end; zero: for ever.
pub async fn run(berth: Berth, poll: Duration, runs_kept: Duration, mut is_first: watch::Receiver<bool>, stop: CancellationToken) {
    let mut walk = Walk::default();
    loop {
        let runs = if runs_kept.is_zero() { Ok(Done::default()) } else { forget_runs(&berth, &mut walk, runs_kept).await };
        let duties = [
            ("expire freezes", expire_freezes(&berth).await),
            ("apply freezes again", apply_freezes_again(&berth).await),
            ("start purges", start_purges(&berth).await),
            ("deliver membership changes", deliver_membership_changes(&berth).await),
            ("relate service accounts", relate_service_accounts(&berth).await),
            ("forget membership changes", forget_membership_changes(&berth).await),
            ("forget runs", runs),
            ("forget idempotency keys", forget_keys(&berth).await),
        ];
        let mut rest = if *is_first.borrow_and_update() { poll } else { poll * SELDOM };
        for (duty, answer) in duties {
            match answer {
                Ok(Done { next, trouble }) => {
                    rest = next.map_or(rest, |next| next.min(rest));
                    for trouble in trouble {
                        let (id, attempts, error) = (trouble.id, trouble.attempts, trouble.error);
                        if attempts < OLD {
                            tracing::warn!(duty, %id, attempts, %error, "not done; trying again");
                        } else {
                            tracing::error!(duty, %id, attempts, %error, "still not done; trying again");
                        }
                    }
                }
                Err(error) => tracing::warn!(duty, %error, "cannot be done now; trying again"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(rest) => {}
            Ok(()) = is_first.changed() => {}
        }
    }
}
