//! `berth members`: of accounts and of workspaces.

use crate::caller::Caller;
use crate::server::{Server, said};

#[tokio::test]
async fn members_are_added_changed_and_removed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;
    let caller = Caller::of(&server);
    caller.says(&["workspaces", "create", "Ledger", "--wait"]).await.ended(0);
    // Berth knows them from their tokens.
    for arguments in [["--user", "alice"], ["--service-account", "deployer"]] {
        assert!(said(&[&["dev", "token"][..], &arguments].concat(), &dir).await.status.success());
    }
    let on = ["--workspace", "Ledger"];
    let members = async |arguments: &[&str], code: i32| caller.says(&[&["members"][..], arguments].concat()).await.ended(code);

    let added = members(&["add", "--user", "alice", "--role", "member", on[0], on[1]], 0).await;
    assert!(added.out.contains("alice") && added.out.contains(" member "), "{added}");
    let changed = members(&["set-role", "--user", "alice", "--role", "viewer", on[0], on[1]], 0).await;
    assert!(changed.out.contains(" viewer "), "{changed}");
    members(&["add", "--service-account", "deployer", "--role", "admin", "--account", "Development"], 0).await;

    let listed = members(&["list", on[0], on[1], "-o", "json"], 0).await.json();
    let alice = listed.as_array().unwrap().iter().find(|member| member["name"] == "alice").unwrap();
    assert_eq!((alice["type"].as_str(), alice["role"].as_str()), (Some("user"), Some("viewer")));
    let listed = members(&["list", "--account", "Development"], 0).await;
    assert!(listed.out.contains("deployer") && listed.out.contains("service_account"), "{listed}");

    let owner = members(&["add", "--service-account", "deployer", "--role", "owner", on[0], on[1]], 1).await;
    assert!(owner.err.contains("(422 "), "{owner}");
    let last = members(&["remove", "--user", "developer", on[0], on[1]], 5).await;
    assert!(last.err.contains("409 last_owner"), "{last}");
    let removed = members(&["remove", "--user", alice["id"].as_str().unwrap(), on[0], on[1]], 0).await;
    assert!(removed.out.contains("member"), "{removed}");
    let nobody = members(&["remove", "--user", "alice", on[0], on[1]], 3).await;
    assert!(nobody.err.contains("no user called alice is a member"), "{nobody}");
    assert!(members(&["list"], 0).await.out.contains("developer"), "those of the account of the environment");
    members(&["add", "--user", "alice", "--role", "admin"], 2).await;
    let unknown = members(&["add", "--user", "zed", "--role", "admin", on[0], on[1]], 1).await;
    assert!(unknown.err.contains("Berth knows no user of this name") && unknown.err.contains("`berth dev token`"), "{unknown}");
    members(&["add", "--role", "admin", on[0], on[1]], 2).await;
}
