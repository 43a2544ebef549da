//! A permission system whose quickest answers are five seconds old: what has been taken away must not be had where it matters.

use std::sync::Arc;
use std::time::Duration;

use domain::housekeeping::deliver_membership_changes;
use domain::permissions::{Cause, Filter, Object, Permissions, Update};
use testkit::world::{LAG, Lagging};
use testkit::{Backend, TestDb};

use crate::authorization::{CALLERS, Cast, TABLE};
use crate::world::Wish;

/// Reads of one row, and of the caller: five seconds old is new enough for them.
const MAY_BE_OLD: &[&str] = &["getMe", "getAccount", "getWorkspace", "getWorkspaceByName", "getProvisioningRun", "getExport"];

const STRANGER: usize = 1;

/// Puts a lag before `permissions`; the database is where the old state is kept.
pub async fn lagging(permissions: &mut Arc<dyn Permissions>) -> (Arc<Lagging>, TestDb) {
    let then = TestDb::new(Backend::Sqlite).await;
    let old = Arc::new(providers::permissions::Embedded::new(Arc::new(then.store())));
    let lagging = Arc::new(Lagging::new(permissions.clone(), old));
    *permissions = lagging.clone();
    (lagging, then)
}

/// By hand in the permission system, so that Berth itself knows nothing of it.
async fn take_everything_away(cast: &Cast) {
    let permissions = &cast.world.berth.permissions;
    for kind in ["platform", "account", "workspace"] {
        let filter = Filter { resource_kind: kind.to_owned(), resource_id: None, relation: None, subject: None };
        let of_people = |object: &Object| object.kind == "user" || object.kind == "service_account";
        let held: Vec<_> = permissions.read(&filter).await.unwrap().into_iter().filter(|r| of_people(&r.subject)).collect();
        assert!(!held.is_empty(), "nobody had a role on a {kind}");
        let updates: Vec<_> = held.into_iter().map(Update::Delete).collect();
        permissions.write(&updates, &[], &Cause::Hand("test")).await.unwrap();
    }
}

async fn answered(cast: &Cast, column: usize, method: &str, template: &str) -> String {
    let answer = cast.world.send(cast.call(column, method, template)).await;
    let pillar = if answer.json["code"] == "pillar_not_configured" { "p" } else { "" };
    format!("{}{pillar}", answer.status.as_u16())
}

#[tokio::test]
async fn what_was_taken_away_is_gone_at_once_wherever_something_is_changed_listed_or_followed() {
    let cast = Cast::with(Wish { lagging: true, ..Wish::default() }).await;
    let (lagging, _) = cast.world.lagging.as_ref().unwrap();
    lagging.advance(LAG * 100).await;
    // Nobody's role was changed in Berth for so long that nothing but the consistency that is asked for stands in between.
    cast.world.advance(Duration::from_mins(10));
    deliver_membership_changes(&cast.world.berth).await.unwrap();
    take_everything_away(&cast).await;

    let with_a_token: Vec<_> = (0..cast.principals.len()).filter(|column| cast.principals[*column].is_some()).collect();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (operation, method, template, expected) in TABLE {
        // An account's audit log by a nil id is the platform's own row of the table, and as strict.
        if MAY_BE_OLD.contains(operation) {
            continue;
        }
        for column in &with_a_token {
            let found = answered(&cast, *column, method, template).await;
            asked += 1;
            if found != expected[STRANGER] {
                wrong.push(format!("{method} {template} as {}: {found}", CALLERS[*column]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked} are answered as before:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 400, "{asked} were asked");

    // Old answers there were: who asked for them got them, until they were too old.
    let viewer = CALLERS.iter().position(|caller| *caller == "workspace viewer").unwrap();
    assert_eq!(answered(&cast, viewer, "GET", "/v1/workspaces/{workspace}").await, "200");
    assert!(lagging.stale_answers() > 0);
    lagging.advance(LAG).await;
    assert_eq!(answered(&cast, viewer, "GET", "/v1/workspaces/{workspace}").await, "404");
}
