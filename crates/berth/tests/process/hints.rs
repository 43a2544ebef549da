//! Hints between processes: where every process looks for itself once an hour, nothing but a hint makes the other one start in time.

use reqwest::{Method, StatusCode};

use crate::installation::Installation;
use crate::server::{Server, answer, is_at_its_backend};

const NEVER: [(&str, &str); 3] = [("BERTH_WORKER__POLL", "1h"), ("BERTH_WORKER__LEASE", "3h"), ("BERTH_WORKER__RENEW", "1h")];

/// A process that serves and one that works, and an account; what a worker does when it has just started is over.
async fn apart(installation: &mut Installation) -> (Server, Server) {
    for (name, value) in NEVER {
        installation.set(name, value);
    }
    let mut server = installation.serve(&[]).await;
    let worker = installation.work().await;
    Installation::open_account(&mut server).await;
    (server, worker)
}

async fn create(server: &Server, name: &str) -> String {
    let (status, accepted) = server.create(name).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    accepted["provisioning_run_id"].as_str().unwrap().to_owned()
}

pub async fn assert_new_runs_start(server: &Server) {
    for name in ["One", "Another"] {
        let run = create(server, name).await;
        assert_eq!(server.ended(&run).await["state"], "succeeded");
    }
}

#[tokio::test]
async fn a_new_run_is_started_by_another_process_at_once() {
    let mut installation = Installation::begun().await;
    let (server, worker) = apart(&mut installation).await;
    assert_new_runs_start(&server).await;
    assert!(worker.stop().await.success() && server.stop().await.success());
    installation.world().await.assert_whole();
}

#[tokio::test]
async fn what_is_asked_of_a_run_reaches_its_owner_at_once() {
    let mut installation = Installation::begun().await;
    let (server, worker) = apart(&mut installation).await;
    assert!(worker.stop().await.success());
    installation.set("BERTH_DEV__BACKEND_HANG_RATE", "1");
    installation.set("BERTH_WORKER__DRAIN", "200ms");
    let worker = installation.work().await;
    let path = format!("/v1/provisioning-runs/{}", create(&server, "Hangs").await);
    server.until(&path, is_at_its_backend).await;
    let (status, asked) = answer(server.request(Method::POST, &format!("{path}/cancel")).send().await.unwrap()).await;
    assert!(status.is_success(), "{status} {asked}");
    server.until(&path, |run| run["state"] == "compensating" || run["terminal"] == true).await;
    assert!(worker.stop().await.success() && server.stop().await.success());
}
