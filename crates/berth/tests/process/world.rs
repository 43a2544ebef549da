//! Compares a stopped Berth whole: rows, relationships and what stands on the backend. Nothing may be an orphan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::server::{said, text};

/// Everything that is known of a data folder.
pub struct World {
    dir: PathBuf,
    rows: Value,
}

impl World {
    pub async fn of(dir: &Path) -> Self {
        let output = said(&["dev", "inventory"], dir).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self::read(dir, &output.stdout)
    }

    /// Of an inventory that was printed, and the data folder that its backends are in.
    pub fn read(dir: &Path, inventory: &[u8]) -> Self {
        Self { dir: dir.to_owned(), rows: serde_json::from_slice(inventory).unwrap() }
    }

    fn list(&self, of: &str) -> &[Value] {
        self.rows[of].as_array().unwrap()
    }

    pub fn accounts(&self) -> &[Value] {
        self.list("accounts")
    }

    pub fn workspaces(&self) -> &[Value] {
        self.list("workspaces")
    }

    pub fn runs(&self) -> &[Value] {
        self.list("runs")
    }

    /// Relationships, seals apart, as `type:id#relation@type:id`.
    fn relationships(&self) -> BTreeSet<String> {
        let name = |o: &Value| format!("{}:{}", word(&o["type"]), word(&o["id"]));
        self.list("relationships")
            .iter()
            .filter(|r| r["relation"] != "sealed")
            .map(|r| format!("{}#{}@{}", name(&r["resource"]), word(&r["relation"]), name(&r["subject"])))
            .collect()
    }

    /// What the rows say the relationships are.
    fn expected_relationships(&self) -> BTreeSet<String> {
        let mut expected = BTreeSet::new();
        let mut members = |object: &str, row: &Value| {
            for member in row["members"].as_array().unwrap() {
                let principal = &member["principal"];
                expected.insert(format!("{object}#{}@{}:{}", word(&member["role"]), word(&principal["type"]), word(&principal["id"])));
            }
        };
        for account in self.accounts().iter().filter(|a| a["status"] == "active") {
            members(&format!("account:{}", word(&account["id"])), account);
        }
        for workspace in self.workspaces().iter().filter(|w| is_whole(w)) {
            members(&format!("workspace:{}", word(&workspace["id"])), workspace);
        }
        for account in self.accounts().iter().filter(|a| a["status"] == "active") {
            expected.insert(format!("account:{}#platform@platform:main", word(&account["id"])));
        }
        for workspace in self.workspaces().iter().filter(|w| is_whole(w)) {
            let id = word(&workspace["id"]);
            expected.insert(format!("workspace:{id}#account@account:{}", word(&workspace["account_id"])));
            for environment in workspace["environments"].as_array().unwrap() {
                expected.insert(format!("environment:{}#workspace@workspace:{id}", word(&environment["id"])));
            }
        }
        expected
    }

    /// Workspaces that a purge has taken away, whose row is listed no more.
    pub fn purged(&self) -> BTreeSet<&str> {
        self.runs()
            .iter()
            .filter(|r| r["saga"] == "purge-workspace" && r["state"] == "succeeded")
            .map(|r| word(&r["workspace_id"]))
            .collect()
    }

    /// How many backend workspaces let nobody in.
    pub fn shut(&self) -> usize {
        self.objects().into_values().filter(|open| !open).count()
    }

    /// Folders on the backend by their name, and whether they let anybody in; anything that is neither such a folder nor a seal fails.
    pub fn objects(&self) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        for region in std::fs::read_dir(self.dir.join("backends")).unwrap() {
            let region = region.unwrap();
            if region.file_name() == ".processes" {
                continue;
            }
            for entry in std::fs::read_dir(region.path()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                assert!(uuid::Uuid::try_parse(&name).is_ok(), "{} was left behind", path.display());
                if path.is_dir() {
                    for part in ["workspace.db", "key", "mark"] {
                        assert!(path.join(part).is_file(), "{} has no {part}", path.display());
                    }
                    let login = std::fs::read(path.join("login")).map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
                    found.insert(name, login.is_err() || login.unwrap()["open"] == true);
                }
            }
        }
        found
    }

    /// Every run has ended, every workspace is there whole or not at all, and nothing stands anywhere without a row.
    pub fn assert_whole(&self) {
        for run in self.runs() {
            assert_eq!(run["terminal"], true, "{run}");
            let state = word(&run["state"]);
            assert!(["succeeded", "failed", "cancelled"].contains(&state), "{run}");
        }
        let mut rows = BTreeMap::new();
        for workspace in self.workspaces() {
            let frozen = !workspace["freezes"].as_array().unwrap().is_empty();
            assert_eq!(workspace["freeze_applied"], workspace["freeze_revision"], "{workspace}");
            let environments = workspace["environments"].as_array().unwrap();
            let backends = workspace["backend_workspaces"].as_array().unwrap();
            match word(&workspace["status"]) {
                _ if is_whole(workspace) => {
                    let mut names: Vec<&str> = environments.iter().map(|e| word(&e["name"])).collect();
                    names.sort_unstable();
                    assert_eq!(names, ["dev", "prod", "staging"], "{workspace}");
                    assert!(environments.iter().all(|e| e["status"] == "active"), "{workspace}");
                    assert_eq!(backends.len(), 3, "{workspace}");
                    assert!(backends.iter().all(|b| b["login_open"] == !frozen), "{workspace}");
                    rows.extend(backends.iter().map(|b| (word(&b["id"]).to_owned(), !frozen)));
                }
                "failed" | "deleted" => assert!(environments.is_empty() && backends.is_empty(), "{workspace}"),
                other => panic!("a workspace is {other}: {workspace}"),
            }
            let run = self.runs().iter().find(|r| r["id"] == workspace["run_id"]).expect("its run");
            assert_eq!(run["state"] == "succeeded", is_whole(workspace), "{workspace} {run}");
        }
        assert_eq!(rows, self.objects(), "backend workspaces and whether their freezes let anybody in: by their rows, and on the backend");

        let (mut found, expected) = (self.relationships(), self.expected_relationships());
        found.retain(|r| !r.starts_with("platform:main#") && !r.starts_with("service_account:"));
        assert_eq!(found, expected, "relationships, and what the rows say they are");
    }
}

/// It has what its run made, deleted or not.
fn is_whole(workspace: &Value) -> bool {
    workspace["status"] == "active" || workspace["status_before"] == "active"
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
