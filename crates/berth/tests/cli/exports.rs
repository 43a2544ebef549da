//! `berth workspaces export` from a real server.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::caller::Caller;
use crate::server::Server;

#[tokio::test]
async fn a_workspace_is_exported_in_every_format_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    caller.says(&["workspaces", "create", "Ledger", "--wait"]).await.ended(0);
    let file = |name: &str| folder.path().join(name);
    let export = async |name: &str, more: &[&str]| {
        let place = file(name);
        let arguments = [&["workspaces", "export", "Ledger", "--output", place.to_str().unwrap()][..], more].concat();
        let said = caller.says(&arguments).await.ended(0);
        assert!(said.out.is_empty() && said.err.contains("checked against the receipt"), "{said}");
        std::fs::read_to_string(place).unwrap()
    };

    let csv = export("a.csv", &[]).await;
    assert!(csv.starts_with("record_type,") && csv.contains("Ledger"), "{csv}");
    let json: Value = serde_json::from_str(&export("a.json", &["--include", "workspace,runs"]).await).unwrap();
    assert!(json["runs"].is_array() && json.get("audit").is_none(), "{json}");
    let ndjson = export("a.ndjson", &[]).await;
    let last: Value = serde_json::from_str(ndjson.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "end");
    assert!(export("b.txt", &["--format", "json"]).await.starts_with('{'));

    let piped = caller.says(&["workspaces", "export", "Ledger", "--format", "csv", "--output", "-"]).await.ended(0);
    assert!(piped.out.starts_with("record_type,"), "{piped}");
    assert_eq!(std::fs::metadata(file("a.csv")).unwrap().permissions().mode() & 0o777, 0o600, "for the caller alone");
    caller.says(&["workspaces", "export", "Nobody", "--output", "-"]).await.ended(3);
    let asked = caller.says(&["workspaces", "export", "Ledger", "--output", "-", "--include", "secrets"]).await.ended(1);
    assert!(asked.err.contains("?include"), "{asked}");
    let unsaid = caller.says(&["workspaces", "export", "Ledger"]).await.ended(0);
    assert!(unsaid.out.starts_with("record_type,") && unsaid.err.contains(" bytes of CSV, checked against the receipt"), "{unsaid}");
}
