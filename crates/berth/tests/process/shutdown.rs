//! SIGTERM and SIGINT: what is open ends or is handed on, the process exits by itself with 0.

use rustix::process::Signal;

use crate::server::{PATIENCE, Server, is_at_its_backend};
use crate::world::World;

#[tokio::test]
async fn sigterm_drains_and_the_next_start_takes_up_what_was_open() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let hanging = [("BERTH_DEV__BACKEND_HANG_RATE", "1"), ("BERTH_WORKER__DRAIN", "200ms")];
    let server = Server::start(&dir, &hanging).await;
    let (_, accepted) = server.create("Hangs").await;
    let run = accepted["provisioning_run_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/provisioning-runs/{run}");
    // Its first backend call hangs now; it is open while the process is told to stop.
    server.until(&path, is_at_its_backend).await;
    let log = server.log.clone();
    assert_eq!(server.stop().await.code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("drained"), "{log}");
    assert!(!dir.join("control.sock").exists());

    let server = Server::start(&dir, &[]).await;
    let ended = server.ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert!(server.stop().await.success());
    World::of(&dir).await.assert_whole();
}

#[tokio::test]
async fn sigint_ends_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&folder.path().join("data"), &[]).await;
    server.signal(Signal::INT);
    let status = tokio::time::timeout(PATIENCE, server.child.wait()).await.expect("it drains").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_long_poll_does_not_hold_up_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Server::start(&folder.path().join("data"), &[("BERTH_DEV__BACKEND_HANG_RATE", "1"), ("BERTH_WORKER__DRAIN", "200ms")]).await;
    let (_, accepted) = server.create("Watched").await;
    let path = format!("/v1/provisioning-runs/{}?wait=60s", accepted["provisioning_run_id"].as_str().unwrap());
    let watching = {
        let request = server.request(reqwest::Method::GET, &path);
        tokio::spawn(async move { request.send().await })
    };
    assert_eq!(server.stop().await.code(), Some(0));
    drop(watching);
}
