//! Pauses: who may set them, of what, and what the audit log is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::audit::Draft;
use domain::model::AccountStatus;
use domain::pauses::{Kind, Pause, Scope, lift, list, set};
use domain::permissions::Object;
use domain::ports::{NewPause, PauseAnswer, Pauses};
use domain::{Berth, Error};
use saga::{StoreError, Time};
use serde_json::json;
use uuid::Uuid;

use crate::world::{ACCOUNT, USER, World, caller, ready};

/// Pauses in memory, and the entries that came with them.
#[derive(Default)]
pub struct Kept {
    pauses: Mutex<BTreeMap<Scope, Pause>>,
    audit: Mutex<Vec<Draft>>,
}

#[async_trait]
impl Pauses for Kept {
    async fn set(&self, new: NewPause) -> Result<PauseAnswer, StoreError> {
        let NewPause { scope, undo, comment, created_by, audit } = new;
        let pause = Pause { scope: scope.clone(), undo, comment, created_by, created_at: Time::from_micros(0) };
        let before = self.pauses.lock().unwrap().insert(scope, pause.clone());
        self.audit.lock().unwrap().push(audit);
        Ok(if before.is_none() { PauseAnswer::Set(pause) } else { PauseAnswer::Changed(pause) })
    }

    async fn lift(&self, scope: &Scope, audit: Draft) -> Result<bool, StoreError> {
        self.audit.lock().unwrap().push(audit);
        Ok(self.pauses.lock().unwrap().remove(scope).is_some())
    }

    async fn list(&self) -> Result<Vec<Pause>, StoreError> {
        Ok(self.pauses.lock().unwrap().values().cloned().collect())
    }
}

fn world(permissions: &[&'static str]) -> (Arc<World>, Arc<Kept>, Berth) {
    let (world, kept) = (World::new(), Arc::new(Kept::default()));
    world.grant(permissions.iter().map(|permission| (Object::platform(), *permission)));
    world.account(AccountStatus::Active);
    let berth = Berth { pauses: kept.clone(), ..world.berth() };
    (world, kept, berth)
}

fn scope(kind: Kind, name: impl std::fmt::Display) -> Scope {
    Scope::new(kind, name)
}

#[test]
fn an_operator_pauses_what_there_is_and_is_told_what_there_is_not() {
    let (world, kept, berth) = world(&["administer", "read"]);
    let caller = caller(USER);
    let shouted = ACCOUNT.to_string().to_uppercase();
    for (kind, name) in [(Kind::Backend, "local"), (Kind::Saga, "create-workspace"), (Kind::Account, shouted.as_str())] {
        let answer = ready(set(&berth, &caller, scope(kind, name), true, " maintenance ")).unwrap();
        assert!(matches!(answer, PauseAnswer::Set(Pause { undo: true, created_by: USER, .. })), "{answer:?}");
    }
    assert_eq!(world.wakes(), 3, "workers of this process hear of it at once");
    let scopes: Vec<String> = ready(list(&berth, &caller)).unwrap().iter().map(|p| p.scope.to_string()).collect();
    assert_eq!(scopes, ["backend:local".to_owned(), "saga:create-workspace".to_owned(), format!("account:{ACCOUNT}")]);
    let chains: Vec<Uuid> = kept.audit.lock().unwrap().iter().map(|draft| draft.account_id).collect();
    assert_eq!(chains, [Uuid::nil(), Uuid::nil(), ACCOUNT], "an account's own log tells of its pause");
    let entry = kept.audit.lock().unwrap()[0].clone();
    assert_eq!((entry.action.as_str(), entry.after), ("pause.set", Some(json!({"scope": "backend:local", "undo": true}))));
    assert!(entry.reason.is_some());
    for (kind, name) in
        [(Kind::Backend, "postgres"), (Kind::Saga, "make-coffee"), (Kind::Account, &Uuid::nil().to_string()), (Kind::Account, "acme")]
    {
        let error = ready(set(&berth, &caller, scope(kind, name), false, "why")).unwrap_err();
        assert!(matches!(error, Error::NotFound { what } if what == kind.as_str()), "{error:?}");
    }
    let blank = ready(set(&berth, &caller, scope(Kind::Backend, "local"), false, " ")).unwrap_err();
    assert!(matches!(blank, Error::Invalid(invalid) if invalid[0].pointer == "/comment"));
}

#[test]
fn what_is_not_paused_cannot_be_resumed() {
    let (_, kept, berth) = world(&["administer"]);
    let caller = caller(USER);
    ready(set(&berth, &caller, scope(Kind::Backend, "local"), false, "why")).unwrap();
    ready(lift(&berth, &caller, scope(Kind::Backend, "local"), Some("done"))).unwrap();
    let entry = kept.audit.lock().unwrap().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.reason.is_some()), ("pause.lift", true));
    for (kind, name) in [(Kind::Backend, "local"), (Kind::Account, "acme")] {
        let error = ready(lift(&berth, &caller, scope(kind, name), None)).unwrap_err();
        assert!(matches!(error, Error::NotFound { what: "pause" }), "{error:?}");
    }
}

#[test]
fn who_is_no_operator_learns_nothing_of_what_there_is() {
    let (_, kept, berth) = world(&["read"]);
    let caller = caller(USER);
    assert!(ready(list(&berth, &caller)).unwrap().is_empty(), "an auditor may look");
    let nothing = scope(Kind::Saga, "make-coffee");
    let refused = [ready(set(&berth, &caller, nothing.clone(), false, "why")).map(drop), ready(lift(&berth, &caller, nothing, None))];
    for answer in refused {
        assert!(matches!(answer, Err(Error::Forbidden { permission: "administer", .. })), "{answer:?}");
    }
    assert!(kept.audit.lock().unwrap().is_empty());
    let nobody = world_without_rights();
    assert!(matches!(ready(list(&nobody, &caller)), Err(Error::Forbidden { permission: "read", .. })));
}

fn world_without_rights() -> Berth {
    world(&[]).2
}
