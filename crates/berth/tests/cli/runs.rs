//! `berth runs`: shown, watched, and got unstuck.

use crate::caller::{Caller, normal};
use crate::server::Server;

#[tokio::test]
async fn a_run_that_takes_everything_back_is_watched_and_its_exit_code_tells() {
    let folder = tempfile::tempdir().unwrap();
    let failing = [("BERTH_DEV__BACKEND_FAIL_RATE", "1"), ("BERTH_DEV__TIME_SCALE", "0.001"), ("BERTH_LOG__FILTER", "error")];
    // The first account needs no backend.
    let server = Server::start(&folder.path().join("data"), &failing).await;
    let caller = Caller::of(&server);
    let created = caller.says(&["workspaces", "create", "Doomed", "-o", "json", "--on-failure", "hold"]).await.ended(0).json();
    let run = created["provisioning_run_id"].as_str().unwrap();
    let late = caller.says(&["runs", "watch", run, "--timeout", "1ms"]).await.ended(7);
    assert!(late.err.contains("has not ended within 1ms"), "{late}");
    let cancelled = caller.says(&["runs", "cancel", run, "--comment", "enough"]).await.ended(0);
    assert!(cancelled.out.contains("accepted  cancel"), "{cancelled}");
    let _ = caller.says(&["runs", "list"]).await.ended(0);
    assert!(normal(&caller.says(&["runs", "get", run]).await.ended(0).out).contains("Saga"));
}
