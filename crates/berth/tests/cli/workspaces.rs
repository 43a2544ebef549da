//! `berth workspaces` and `berth accounts`.

use serde_json::json;

use crate::caller::{Caller, normal};
use crate::server::Server;

#[tokio::test]
async fn a_workspace_is_created_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);

    let none = caller.says(&["workspaces", "list"]).await.ended(0);
    assert_eq!(none.out, "No workspaces. `berth workspaces create NAME` makes one.\n");
    assert_eq!(caller.says(&["workspaces", "list", "--output", "json"]).await.ended(0).json(), json!([]));
    assert_eq!(caller.says(&["workspaces", "list", "--output", "ndjson"]).await.ended(0).out, "");

    let plan = caller.says(&["workspaces", "create", "Ledger", "--dry-run"]).await.ended(0);
    assert!(plan.out.starts_with("Would run create-workspace v"), "{plan}");
    assert!(plan.out.contains("the slug would be ledger"), "{plan}");

    let created = caller.says(&["workspaces", "create", "Ledger", "--slug", "the-ledger", "--wait"]).await.ended(0);
    assert!(created.out.contains("Status      active\n"), "{created}");
    let mut lines: Vec<String> = normal(&created.err).lines().map(str::to_owned).collect();
    assert!(lines.remove(0).starts_with("Run ID1 create-workspace v"), "{created}");
    assert_eq!(lines.pop().unwrap(), "Run ID1 succeeded: 7/7 steps", "{created}");
    // The three backends are made at once.
    lines[1..4].sort();
    assert_eq!(
        lines,
        [
            "CLOCK  create-environments  succeeded",
            "CLOCK  backend-dev          succeeded",
            "CLOCK  backend-prod         succeeded",
            "CLOCK  backend-staging      succeeded",
            "CLOCK  write-relationships  succeeded",
            "CLOCK  verify-access        succeeded",
            "CLOCK  activate-workspace   succeeded",
        ],
        "{created}"
    );

    let listed = caller.says(&["workspaces", "list"]).await.ended(0);
    assert_eq!(
        normal(&listed.out).split_whitespace().collect::<Vec<_>>(),
        "NAME STATUS REGION SLUG ID CREATED Ledger active local the-ledger ID1 TIME".split(' ').collect::<Vec<_>>()
    );
    let listed = caller.says(&["workspaces", "list", "-o", "json"]).await.ended(0).json();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(server.get("/v1/workspaces").await.1, listed, "the JSON is what the API answers");

    let shown = caller.says(&["workspaces", "get", id]).await.ended(0);
    assert!(shown.out.contains("Slug        the-ledger\n"), "{shown}");
    let shown = caller.says(&["workspaces", "get", id, "--output", "ndjson"]).await.ended(0);
    assert_eq!(shown.out.lines().count(), 1);
    let answered = server.request(reqwest::Method::GET, &format!("/v1/workspaces/{id}")).send().await.unwrap().text().await.unwrap();
    assert_eq!(shown.out.trim_end(), answered, "member for member, in the server's order");
    let indented = caller.says(&["workspaces", "get", id, "--output", "json"]).await.ended(0).out;
    assert!(indented.starts_with("{\n  \"id\": ") && !indented.contains("\n  \"account_id\": \"\""), "{indented}");
    let refused = caller.says(&["workspaces", "get", "00000000-0000-0000-0000-000000000000", "-o", "ndjson"]).await.ended(3);
    assert!(refused.err.starts_with(r#"{"type":"/problems/not_found","title":"#), "{refused}");
    let none = caller.says(&["workspaces", "list", "--status", "deleted"]).await.ended(0);
    assert_eq!(none.out, "No workspace fits.\n", "the account is that of the environment");
    caller.says(&["workspaces", "list", "--status", "delted"]).await.ended(2);
    let of_account = caller.says(&["workspaces", "list", "--account", "Development", "-o", "json"]).await.ended(0).json();
    assert_eq!(of_account[0]["id"], id);
}

#[tokio::test]
async fn a_create_with_a_key_of_the_callers_own_makes_one_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    let create = ["workspaces", "create", "Once", "--idempotency-key", "order-4711", "-o", "json"];
    let first = caller.says(&create).await.ended(0).json();
    assert_eq!(caller.says(&create).await.ended(0).json(), first);
    let other = caller.says(&["workspaces", "create", "Once", "-o", "json"]).await.ended(0).json();
    assert_ne!(other["workspace_id"], first["workspace_id"], "without one, each has its own");
}

#[tokio::test]
async fn lists_say_when_there_is_more_and_go_through_all_pages() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    for name in ["One", "Two", "Three"] {
        let (_, accepted) = server.create(name).await;
        server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await;
    }
    let some = caller.says(&["workspaces", "list", "--limit", "2"]).await.ended(0);
    assert_eq!(some.out.lines().count(), 3, "{some}");
    assert_eq!(some.err, "berth: there are more than 2; --all shows all of them\n");
    let all = caller.says(&["workspaces", "list", "--all"]).await.ended(0);
    assert_eq!(all.out.lines().count(), 4, "{all}");
    let programs = caller.says(&["workspaces", "list", "--limit", "2", "-o", "ndjson"]).await.ended(0);
    assert_eq!((programs.out.lines().count(), programs.err.as_str()), (2, ""));
    let named = caller.says(&["workspaces", "list", "--name-contains", "tw", "-o", "json"]).await.ended(0).json();
    assert_eq!(named.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn accounts_are_created_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    let created = caller.says(&["accounts", "create", "Acme", "--wait"]).await.ended(0);
    assert!(created.out.contains("Status      active\n"), "{created}");
    let listed = caller.says(&["accounts", "list"]).await.ended(0);
    assert!(listed.out.contains("Acme ") && listed.out.contains("Development "), "{listed}");
    let acme = caller.says(&["accounts", "get", "acme", "-o", "json"]).await.ended(0).json();
    assert_eq!(acme["name"], "Acme");
    assert_eq!(caller.says(&["accounts", "get", "-o", "json"]).await.ended(0).json()["id"], json!(server.account));

    // Without BERTH_ACCOUNT_ID there are two now.
    let several = caller.clone().without("BERTH_ACCOUNT_ID").says(&["accounts", "get"]).await.ended(2);
    assert!(several.err.contains("you have several accounts") && several.err.contains("(Acme)"), "{several}");
    caller.says(&["accounts", "create", "Acme"]).await.ended(0);
    let both = caller.says(&["accounts", "get", "Acme"]).await.ended(5);
    assert!(both.err.contains("2 accounts are called Acme") && both.err.contains(acme["id"].as_str().unwrap()), "{both}");
    caller.says(&["accounts", "get", "nobody"]).await.ended(3);
}
