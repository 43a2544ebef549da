//! An installation behind a real `PgBouncer` in transaction mode.

use std::path::Path;

use serde_json::json;

use crate::hints;
use crate::installation::{APP, Installation, OWNER};
use crate::server::{answer, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_pooler_in_between_everything_goes_as_without() {
    let mut installation = Installation::begun().await;
    let mut cluster = installation.cluster;
    installation.cluster = tokio::task::spawn_blocking(move || {
        cluster.start_pooler(&[APP]);
        cluster
    })
    .await
    .unwrap();
    let (pooled, direct) = (installation.pooled_url(), installation.url(OWNER));
    installation.set("BERTH_DATABASE__URL", &pooled);
    installation.set("BERTH_WORKER__POLL", "50ms");

    // Without the setting it is refused at the start, not in the middle.
    let output = installation.says(&["work", "--admin-listen", "127.0.0.1:0"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("unsupported startup parameter") && err.contains("`database.pooler = \"transaction\"`"), "{err}");

    installation.set("BERTH_DATABASE__POOLER", "transaction");
    let migrated = installation.says(&["migrate"], &[("BERTH_DATABASE__DIRECT_URL", &direct)]).await;
    assert!(text(&migrated.stdout).contains("up to date"), "{}", text(&migrated.stderr));

    // More connections than the pooler has to the server.
    let mut server = installation.serve(&[]).await;
    let workers = [installation.work().await, installation.work().await];
    Installation::open_account(&mut server).await;
    let asked = (0..16).map(|i| {
        let body = json!({"account_id": server.account, "name": format!("Pooled {i}"), "region": "local"});
        tokio::spawn(server.request(reqwest::Method::POST, "/v1/workspaces").json(&body).send())
    });
    let asked: Vec<_> = asked.collect();
    let mut runs = Vec::new();
    for accepted in asked {
        let (status, accepted) = answer(accepted.await.unwrap().unwrap()).await;
        assert_eq!(status, 202, "{accepted}");
        runs.push((accepted["provisioning_run_id"].as_str().unwrap().to_owned(), accepted["workspace_id"].as_str().unwrap().to_owned()));
    }
    for (run, _) in &runs {
        assert_eq!(server.ended(run).await["state"], "succeeded");
    }
    let export = server.request(reqwest::Method::GET, &format!("/v1/workspaces/{}/export?format=ndjson", runs[0].1)).send().await.unwrap();
    assert_eq!(export.status(), 200);
    assert!(export.text().await.unwrap().lines().count() > 5);

    // Beside the pooler, a connection that it does not stand in front of passes hints on: nobody looks in time without one.
    for worker in workers {
        let log = worker.log.clone();
        assert!(worker.stop().await.success());
        assert_is_untroubled(&log);
    }
    for (name, value) in [("BERTH_DATABASE__DIRECT_URL", direct.as_str()), ("BERTH_WORKER__POLL", "1h")] {
        installation.set(name, value);
    }
    let worker = installation.work().await;
    hints::assert_new_runs_start(&server).await;

    for process in [worker, server] {
        let log = process.log.clone();
        assert!(process.stop().await.success());
        assert_is_untroubled(&log);
    }
    installation.world().await.assert_whole();
}

fn assert_is_untroubled(log: &Path) {
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("prepared statement") && !log.contains("ERROR"), "{log}");
}
