//! `berth workspaces delete` and `restore`.

use crate::caller::Caller;
use crate::server::Server;

#[tokio::test]
async fn a_workspace_is_deleted_when_that_is_confirmed_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    caller.says(&["workspaces", "create", "Ledger", "--wait"]).await.ended(0);

    let asked = caller.says(&["workspaces", "delete", "Ledger"]).await.ended(2);
    assert!(asked.err.contains("Add --yes if you mean it."), "{asked}");
    caller.says(&["workspaces", "update", "Ledger", "--termination-protection", "true"]).await.ended(0);
    let protected = caller.says(&["workspaces", "delete", "Ledger", "--yes"]).await.ended(5);
    assert!(protected.err.contains("409 termination_protected"), "{protected}");
    assert!(protected.err.contains("--termination-protection false"), "{protected}");
    caller.says(&["workspaces", "update", "Ledger", "--termination-protection", "false"]).await.ended(0);

    let deleted = caller.says(&["workspaces", "delete", "Ledger", "--yes"]).await.ended(0);
    assert!(deleted.out.contains("Status   deleted\n") && deleted.out.contains("until then `berth workspaces restore "), "{deleted}");
    assert_eq!(caller.says(&["workspaces", "list", "-o", "json"]).await.ended(0).json(), serde_json::json!([]));
    let gone = caller.says(&["workspaces", "get", "Ledger"]).await.ended(5);
    assert!(gone.err.contains("409 name_retired") && gone.err.contains("`berth workspaces restore "), "{gone}");
    let listed = caller.says(&["workspaces", "list", "--status", "deleted"]).await.ended(0);
    assert!(listed.out.contains("Ledger  deleted"), "{listed}");

    let restored = caller.says(&["workspaces", "restore", "Ledger", "-o", "json"]).await.ended(0);
    assert_eq!(restored.json()["name"], "Ledger");
    let shown = caller.says(&["workspaces", "get", "Ledger"]).await.ended(0);
    assert!(shown.out.contains("Status      active\n"), "{shown}");
}
