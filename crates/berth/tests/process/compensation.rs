//! A backend that is told to fail: the run takes away what it made, and says why.

use reqwest::StatusCode;

use crate::server::Server;
use crate::world::World;

#[tokio::test]
async fn a_backend_that_always_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let first = Server::start(&dir, &[]).await;
    assert!(first.stop().await.success());

    let server =
        Server::start(&dir, &[("BERTH_DEV__BACKEND_FAIL_RATE", "0.8"), ("BERTH_DEV__TIME_SCALE", "0.02"), ("BERTH_DEV__SEED", "3")]).await;
    let mut failed = 0;
    for i in 0..5 {
        let (status, accepted) = server.create(&format!("Doomed {i}")).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        let ended = server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await;
        if ended["state"] == "failed" {
            failed += 1;
            assert_eq!(ended["reason"]["type"], "backend_failed", "{ended}");
            let step = ended["reason"]["step"].as_str().unwrap();
            assert!(step.starts_with("backend-") || step == "verify-access", "{ended}");
            let (_, workspace) = server.get(&format!("/v1/workspaces/{}", accepted["workspace_id"].as_str().unwrap())).await;
            assert_eq!(workspace["status"], "failed", "{workspace}");
        }
    }
    assert!(failed > 0, "with this seed some runs fail");
    assert!(server.stop().await.success());
    World::of(&dir).await.assert_whole();
}
