//! What becomes of a removal while a real SpiceDB is killed: before the change reaches it, or after it has it and before it has
//! answered. It stays away meanwhile, and comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::housekeeping::deliver_membership_changes;
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use rstest::rstest;
use serde_json::json;
use testkit::spicedb::SpiceDb;

use crate::outages::rebuilt;
use crate::world::{Call, User, Wish, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    BeforeTheWrite,
    AfterTheWrite,
}

/// One write, as it was asked for.
type Write = (Vec<Update>, Vec<Precondition>, Cause);

/// A SpiceDB that is killed at its next write, where that is wished for.
struct Mortal {
    inner: Arc<dyn Permissions>,
    server: Mutex<SpiceDb>,
    next: Mutex<Option<Killed>>,
    told: Mutex<Vec<Write>>,
}

#[async_trait]
impl Permissions for Mortal {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.inner.check(checks, consistency).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        self.told.lock().unwrap().push((updates.to_vec(), preconditions.to_vec(), cause.clone()));
        let killed = self.next.lock().unwrap().take();
        if killed == Some(Killed::BeforeTheWrite) {
            self.server.lock().unwrap().kill();
        }
        let written = self.inner.write(updates, preconditions, cause).await;
        if killed == Some(Killed::AfterTheWrite) {
            written?;
            self.server.lock().unwrap().kill();
            return Err(PermissionsError::Unknown("killed before it answered".to_owned()));
        }
        written
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.read(filter).await
    }

    async fn lookup(&self, kind: &str, permission: &str, subject: &Object, at: &Consistency) -> Result<Vec<String>, PermissionsError> {
        self.inner.lookup(kind, permission, subject, at).await
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.inner.ready().await
    }
}

struct Cast {
    world: World,
    system: Arc<Mortal>,
    ada: User,
    bob: User,
    workspace: String,
}

impl Cast {
    async fn new() -> Self {
        let server = SpiceDb::on_postgres(&["key"]).await;
        let spicedb = Some((server.endpoint.clone(), "key".to_owned()));
        let mut world = World::with(Wish { spicedb, ..Wish::default() }).await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let account = world.account(&ada).await;
        let workspace = world.workspace(&ada, account, "Sales").await;
        let inner = world.berth.permissions.clone();
        let system = Arc::new(Mortal { inner, server: Mutex::new(server), next: Mutex::default(), told: Mutex::default() });
        world.berth.permissions = system.clone();
        rebuilt(&mut world);
        let cast = Self { world, system, ada, bob, workspace: format!("/v1/workspaces/{workspace}") };
        let body = json!({"type": "user", "id": cast.bob.principal.id, "role": "viewer"});
        assert_eq!(cast.world.post(&format!("{}/members", cast.workspace), &cast.ada, body).await.status, 201);
        cast
    }

    /// Status, and the answer's code or state.
    async fn remove_bob(&self) -> (u16, String) {
        let call = Call::new("DELETE", &format!("{}/members/{}", self.workspace, self.bob.principal.id)).user(&self.ada);
        let answer = self.world.send(call).await;
        let word = answer.json["code"].as_str().or(answer.json["state"].as_str());
        (answer.status.as_u16(), word.unwrap_or_default().to_owned())
    }

    async fn bobs(&self) -> (u16, String) {
        let answer = self.world.get(&self.workspace, &self.bob).await;
        (answer.status.as_u16(), answer.json["code"].as_str().unwrap_or_default().to_owned())
    }

    /// What housekeeping does once the change is due; how often it was not to be done.
    async fn keep_house(&self) -> usize {
        self.world.advance(Duration::from_mins(2));
        let mut trouble = 0;
        loop {
            let done = deliver_membership_changes(&self.world.berth).await.unwrap();
            trouble += done.trouble.len();
            if done.next != Some(Duration::ZERO) {
                return trouble;
            }
        }
    }

    /// Its address is the same, and so is what it keeps.
    async fn back(&self) {
        self.system.server.lock().unwrap().start();
        let answers = async {
            while self.system.ready().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), answers).await.expect("it answers again");
    }
}

fn answered(found: &(u16, String)) -> (u16, &str) {
    (found.0, found.1.as_str())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_is_pending_until_it_is_told_and_no_late_copy_undoes_it(
    #[values(Killed::BeforeTheWrite, Killed::AfterTheWrite)] killed: Killed,
) {
    let cast = Cast::new().await;
    assert_eq!(cast.bobs().await.0, 200);
    *cast.system.next.lock().unwrap() = Some(killed);
    assert_eq!(answered(&cast.remove_bob().await), (202, "pending"));
    assert_eq!(answered(&cast.bobs().await), (503, "removal_pending"));
    assert_eq!(cast.keep_house().await, 1, "it is away");
    assert_eq!(answered(&cast.bobs().await), (503, "removal_pending"));
    cast.back().await;
    assert_eq!(answered(&cast.bobs().await), (503, "removal_pending"), "whatever it has: Berth does not know that it has it");
    assert_eq!(cast.keep_house().await, 0);
    assert_eq!(answered(&cast.bobs().await), (404, "not_found"));

    let copies = std::mem::take(&mut *cast.system.told.lock().unwrap());
    assert!(copies.len() >= 3, "the addition, and the removal twice");
    for (updates, preconditions, cause) in copies.iter().chain(copies.iter().rev()) {
        let late = cast.system.inner.write(updates, preconditions, cause).await;
        let is_removal = Some(cause) == copies.last().map(|(_, _, cause)| cause);
        // Of the last of its line a copy does what was done.
        assert!(is_removal || matches!(late, Err(PermissionsError::PreconditionFailed { .. })), "{cause:?}: {late:?}");
    }
    assert_eq!(answered(&cast.bobs().await), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_cannot_be_authorized_changes_nothing() {
    let cast = Cast::new().await;
    cast.system.server.lock().unwrap().kill();
    let (status, _) = cast.remove_bob().await;
    assert_eq!(status, 503);
    cast.back().await;
    assert_eq!(cast.keep_house().await, 0);
    assert_eq!(cast.bobs().await.0, 200, "he is a member still");
}
