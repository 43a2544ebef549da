//! `berth workspaces freeze`, `unfreeze`, `delete` and `restore`.

use crate::caller::Caller;
use crate::server::Server;

#[tokio::test]
async fn a_workspace_is_frozen_says_why_and_is_thawed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    caller.says(&["workspaces", "create", "Ledger", "--wait"]).await.ended(0);

    let freeze = ["workspaces", "freeze", "Ledger", "--note", "Second reminder", "--code", "unpaid_invoice", "--wait"];
    let frozen = caller.says(&freeze).await.ended(0);
    assert!(frozen.out.contains("Status      frozen\n"), "what is waited for is shown as it is then: {frozen}");
    assert!(frozen.out.contains("frozen by account_admin (read_only), unpaid_invoice: Second reminder\n"), "{frozen}");
    assert!(frozen.err.contains(" apply-freezes v") && frozen.err.contains(" succeeded: "), "its run was waited for: {frozen}");
    let shown = caller.says(&["workspaces", "get", "Ledger"]).await.ended(0);
    assert!(shown.out.contains("unpaid_invoice: Second reminder"), "{shown}");
    let run = caller.says(&["runs", "get", "Ledger", "-o", "json"]).await.ended(0).json();
    assert_eq!(run["saga"], "create-workspace", "carrying a freeze to the backends is not what is meant by a workspace's run");
    let listed = caller.says(&["workspaces", "list", "--status", "frozen", "-o", "json"]).await.ended(0).json();
    assert_eq!(listed[0]["name"], "Ledger");

    let refused = caller.says(&["workspaces", "update", "Ledger", "--name", "Other"]).await.ended(5);
    assert!(refused.err.contains("423 workspace_frozen"), "{refused}");
    let lifts = "  frozen by account_admin (read_only), unpaid_invoice: Second reminder; `berth workspaces unfreeze WORKSPACE` lifts it.\n";
    assert!(refused.err.contains(lifts), "{refused}");
    assert_eq!(refused.err.matches("The workspace is frozen").count(), 1, "the title is told once: {refused}");
    let again = ["workspaces", "freeze", "Ledger", "--note", "Second reminder", "--code", "unpaid_invoice"];
    let again = caller.says(&again).await.ended(0);
    assert!(again.out.ends_with("Logins     all 3 brought in line\n"), "there is nothing to follow: {again}");

    let legal = ["workspaces", "freeze", "Ledger", "--source", "legal", "--mode", "blocked", "--expires", "2h", "-o", "json"];
    let legal = caller.says(&legal).await.ended(0).json();
    let hold = legal["freezes"].as_array().unwrap().iter().find(|freeze| freeze["source"] == "legal").unwrap();
    assert_eq!(hold["mode"], "blocked");
    assert!(hold["expires_at"].is_string());

    let thawed = caller.says(&["workspaces", "unfreeze", "Ledger"]).await.ended(0);
    assert!(thawed.out.contains("Status     frozen\n") && thawed.out.contains("frozen by legal (blocked), manual, until "), "{thawed}");
    let thawed = caller.says(&["workspaces", "unfreeze", "Ledger", "--source", "legal"]).await.ended(0);
    assert!(thawed.out.contains("Status     active\n") && !thawed.out.contains("Freeze"), "{thawed}");
    assert!(thawed.out.contains("\nFollow it: berth runs watch "), "{thawed}");
    caller.says(&["workspaces", "update", "Ledger", "--name", "Other"]).await.ended(0);

    caller.says(&["workspaces", "freeze", "Other", "--expires", "yesterday"]).await.ended(2);
    caller.says(&["workspaces", "freeze", "Other", "--source", "deletion"]).await.ended(2);
    caller.says(&["workspaces", "freeze", "Other", "--code", "Not A Code"]).await.ended(1);
}
