//! Names or ids: what a name stands for, and what is said where it stands for nothing or for several.

use serde_json::Value;

use crate::caller::Caller;
use crate::server::{Server, said, text};

async fn create(server: &Server, name: &str) -> String {
    let (_, accepted) = server.create(name).await;
    server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await;
    accepted["workspace_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_name_finds_what_an_id_finds_and_several_are_told_by_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;
    let caller = Caller::of(&server);
    let ledger = create(&server, "Ledger").await;
    let of = |said: crate::caller::Said| said.ended(0).json()["id"].as_str().unwrap().to_owned();

    assert_eq!(of(caller.says(&["workspaces", "get", "Ledger", "-o", "json"]).await), ledger);
    assert_eq!(of(caller.says(&["workspaces", "get", " LEDGER", "-o", "json"]).await), ledger);
    assert_eq!(of(caller.says(&["workspaces", "get", &ledger.to_uppercase(), "-o", "json"]).await), ledger);
    let alone = caller.clone().without("BERTH_ACCOUNT_ID");
    assert_eq!(of(alone.says(&["workspaces", "get", "ledger", "-o", "json"]).await), ledger, "in the only account");
    assert_eq!(of(alone.says(&["workspaces", "get", "ledger", "--account", "Development", "-o", "json"]).await), ledger);
    let run = caller.says(&["runs", "get", "Ledger", "-o", "json"]).await.ended(0).json();
    assert_eq!(run["workspace_id"], ledger, "the latest run of the workspace");
    let none = caller.says(&["workspaces", "get", "No/such?"]).await.ended(3);
    assert!(none.err.contains("there is no workspace called No/such?") && none.err.contains("`berth workspaces list`"), "{none}");
    caller.says(&["workspaces", "get", ""]).await.ended(2);

    // A member of the workspace who has no account finds it among his own.
    let scope = format!("workspace:{ledger}");
    let token = said(&["dev", "token", "--user", "alice", "--role", "viewer", "--on", &scope], &dir).await;
    let alice = alone.clone().with("BERTH_TOKEN", text(&token.stdout).trim());
    assert_eq!(of(alice.says(&["workspaces", "get", "Ledger", "-o", "json"]).await), ledger);
    alice.says(&["workspaces", "get", "Ledge"]).await.ended(3);
    let denied = alice.says(&["workspaces", "create", "Mine"]).await.ended(3);
    assert!(denied.err.contains("you have no account"), "{denied}");

    let second = create(&server, "Ledger").await;
    let both = caller.says(&["workspaces", "get", "Ledger"]).await.ended(5);
    assert!(both.err.contains("409 name_ambiguous") && both.err.contains(&ledger) && both.err.contains(&second), "{both}");
    let both = caller.says(&["workspaces", "get", "Ledger", "-o", "json"]).await.ended(5);
    let problem: Value = serde_json::from_str(&both.err).unwrap();
    assert_eq!(problem["workspace_ids"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_workspace_is_renamed_labelled_and_protected() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    let created = caller.says(&["workspaces", "create", "Old", "--label", "env=test", "--label", "team=a b", "--wait", "-o", "json"]).await;
    let id = created.ended(0).json()["id"].as_str().unwrap().to_owned();

    let changed = ["workspaces", "update", "Old", "--name", "New", "--label", "env=prod", "--remove-label", "team"];
    let changed = caller.says(&[&changed[..], &["--termination-protection", "true"]].concat()).await.ended(0);
    assert!(changed.out.contains("Name        New\n") && changed.out.contains("Labels      env=prod\n"), "{changed}");
    assert!(changed.out.contains("termination protection"), "{changed}");
    assert!(caller.says(&["workspaces", "get", "New"]).await.ended(0).out.contains(&id));
    let retired = caller.says(&["workspaces", "get", "Old"]).await.ended(5);
    assert!(retired.err.contains("409 name_retired") && retired.err.contains(&id), "{retired}");
    for (label, found) in [("env=prod", 1), ("env", 1), ("env=test", 0), ("team", 0)] {
        let listed = caller.says(&["workspaces", "list", "--label", label, "-o", "json"]).await.ended(0).json();
        assert_eq!(listed.as_array().unwrap().len(), found, "{label}");
    }
    let nothing = caller.says(&["workspaces", "update", "New"]).await.ended(2);
    assert!(nothing.err.contains("nothing is to be changed"), "{nothing}");
    caller.says(&["workspaces", "update", "New", "--label", "no-value"]).await.ended(2);
}
