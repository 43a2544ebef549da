//! The main job, from outside: ask for a workspace, watch its run, have it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Server, answer};
use crate::world::World;

#[tokio::test]
async fn a_workspace_is_asked_for_watched_and_there() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;

    let body = json!({"account_id": server.account, "name": "Données – 数据 🚢", "region": "local"});
    let response = server.request(Method::POST, "/v1/workspaces").json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(response.headers().contains_key("retry-after"));
    let (_, accepted) = answer(response).await;
    assert_eq!(accepted["status"], "provisioning");
    let (workspace, run) = (accepted["workspace_id"].as_str().unwrap(), accepted["provisioning_run_id"].as_str().unwrap());
    assert!(location.ends_with(&format!("/v1/provisioning-runs/{run}")), "{location}");

    let ended = server.ended(run).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["progress"], json!({"done": 7, "total": 7}));
    assert!(ended["steps"].as_array().unwrap().iter().all(|s| s["state"] == "succeeded"), "{ended}");

    let (_, found) = server.get(&format!("/v1/workspaces/{workspace}")).await;
    assert_eq!((&found["status"], &found["name"]), (&json!("active"), &json!("Données – 数据 🚢")));
    let (_, environments) = server.get(&format!("/v1/workspaces/{workspace}/environments")).await;
    assert_eq!(environments.as_array().unwrap().len(), 3, "{environments}");
    let (_, mine) = server.get("/v1/workspaces").await;
    assert!(mine.as_array().unwrap().iter().any(|w| w["id"] == workspace), "{mine}");
    let (_, audit) = server.get(&format!("/v1/workspaces/{workspace}/audit")).await;
    let actions: Vec<&Value> = audit.as_array().unwrap().iter().map(|e| &e["action"]).collect();
    assert_eq!(actions.len(), 2, "accepted and ended: {actions:?}");

    let metrics = server.client.get(format!("{}/metrics", server.admin)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("berth_runs_live{state=\"stuck\"} 0"), "{metrics}");
    assert!(metrics.contains("http_requests_total"), "{metrics}");
    let (status, ready) = answer(server.client.get(format!("{}/readyz", server.admin)).send().await.unwrap()).await;
    assert_eq!((status, &ready["ready"]), (StatusCode::OK, &json!(true)), "{ready}");

    assert!(server.stop().await.success());
    World::of(&dir).await.assert_whole();
}

#[tokio::test]
async fn a_hundred_equal_requests_with_one_key_make_one_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let server = std::sync::Arc::new(Server::start(&folder.path().join("data"), &[]).await);
    let body = json!({"account_id": server.account, "name": "Once", "region": "local"});
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let request = server.request(Method::POST, "/v1/workspaces").header("Idempotency-Key", "one-key").json(&body);
            tokio::spawn(async move { answer(request.send().await.unwrap()).await })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for request in requests {
        let (status, body) = request.await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        ids.insert(body["workspace_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);
    let (_, listed) = server.get(&format!("/v1/workspaces/by-account/{}", server.account)).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn a_hundred_requests_for_one_slug_give_one_workspace_and_99_conflicts() {
    let folder = tempfile::tempdir().unwrap();
    let server = std::sync::Arc::new(Server::start(&folder.path().join("data"), &[]).await);
    let requests: Vec<_> = (0..100)
        .map(|i| {
            let body = json!({"account_id": server.account, "name": format!("Number {i}"), "region": "local", "slug": "the-one"});
            let request = server.request(Method::POST, "/v1/workspaces").json(&body);
            tokio::spawn(async move { answer(request.send().await.unwrap()).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(request.await.unwrap().0);
    }
    assert_eq!(statuses.iter().filter(|s| **s == StatusCode::ACCEPTED).count(), 1);
    assert_eq!(statuses.iter().filter(|s| **s == StatusCode::CONFLICT).count(), 99);
}
