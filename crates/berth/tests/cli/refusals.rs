//! Problems as a person and a program see them, and their exit codes.

use serde_json::Value;

use crate::caller::{Caller, normal};
use crate::server::Server;

#[tokio::test]
async fn a_problem_is_told_with_its_title_its_detail_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    caller.says(&["workspaces", "create", "A", "--slug", "a", "--wait"]).await.ended(0);

    let taken = caller.says(&["workspaces", "create", "B", "--slug", "a"]).await.ended(5);
    assert_eq!(taken.out, "");
    let err = normal(&taken.err).replace(&server.url, "URL");
    assert!(err.starts_with("berth: The slug is taken (409 slug_taken)\n  The slug `a` is taken by another workspace"), "{err}");
    assert!(err.ends_with("\n  More: URL/problems/slug_taken\n  Request: ID1\n"), "{err}");

    let taken = caller.says(&["workspaces", "create", "B", "--slug", "a", "--output", "json"]).await.ended(5);
    let problem: Value = serde_json::from_str(&taken.err).unwrap();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("slug_taken"), Some(409)));
    let taken = caller.says(&["workspaces", "create", "B", "--slug", "a", "--output", "ndjson"]).await.ended(5);
    assert_eq!(taken.err.lines().count(), 1, "{taken}");

    let wrong = caller.says(&["workspaces", "create", "B", "--slug", "Not A Slug", "--region", "nowhere"]).await.ended(1);
    assert!(wrong.err.contains("- /slug: ") && wrong.err.contains("- /region: "), "{wrong}");

    caller.says(&["workspaces", "get", "00000000-0000-0000-0000-000000000000"]).await.ended(3);
    caller.says(&["runs", "get", "00000000-0000-0000-0000-000000000000"]).await.ended(3);
    caller.says(&["accounts", "create", ""]).await.ended(1);
    let hidden = caller.says(&["workspaces", "get", "00000000-0000-0000-0000-000000000000"]).await.ended(3);
    assert!(hidden.err.contains("Check the id"), "{hidden}");
    let refused = caller.clone().with("BERTH_TOKEN", "nonsense").says(&["accounts", "list"]).await.ended(4);
    assert!(refused.err.contains("401 invalid_token") && refused.err.contains("--profile NAME"), "{refused}");
}

#[tokio::test]
async fn a_profile_is_used_and_its_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let home = folder.path().join("home");
    std::fs::create_dir_all(home.join("berth")).unwrap();
    let file = home.join("berth/config.toml");
    let bare = Caller::default().with("XDG_CONFIG_HOME", home.to_str().unwrap());

    bare.says(&["accounts", "list"]).await.ended(2);
    let write = |text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&format!(
        "[profiles.default]\nurl = \"{0}\"\ntoken = \"{1}\"\n[profiles.wrong]\nurl = \"{0}\"\ntoken = \"x\"\n",
        server.url, server.token
    ));
    let listed = bare.says(&["accounts", "list"]).await.ended(0);
    assert!(listed.out.contains("Development") && listed.err.is_empty(), "{listed}");
    bare.says(&["accounts", "list", "--profile", "wrong"]).await.ended(4);
    let none = bare.says(&["accounts", "list", "--profile", "none"]).await.ended(2);
    assert!(
        none.err.contains("no profile called none") && none.err.contains(&format!("{} has: default, wrong.", file.display())),
        "{none}"
    );
    // The environment stands above the default profile, a profile that is named above the environment.
    let caller = bare.clone().with("BERTH_URL", &server.url).with("BERTH_TOKEN", "x");
    caller.says(&["accounts", "list"]).await.ended(4);
    caller.says(&["accounts", "list", "--profile", "default"]).await.ended(0);

    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open = bare.says(&["accounts", "list"]).await.ended(0);
    assert!(open.err.contains("chmod 600"), "{open}");
    write("[profiles.default]\nurl = \"http://a\"\ntokn = \"x\"\n");
    let typo = bare.says(&["accounts", "list"]).await.ended(2);
    assert!(typo.err.contains("tokn"), "{typo}");
}
