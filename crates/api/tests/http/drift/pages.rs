//! The comparison reads both sides in pages: with pages of one or two nothing is missed, nothing is told twice, and an outage in the
//! middle loses nothing.

use std::sync::atomic::AtomicUsize;

use domain::Error;
use domain::permissions::{PermissionsError, RelationshipPage, RelationshipPages};

use super::*;

/// Both sides, at most two at a time, and away at their `fails`th page.
struct Few {
    cast: &'static Cast,
    store: Store,
    pages: AtomicUsize,
    fails: usize,
}

const FEW: u32 = 2;

impl Few {
    fn is_away(&self) -> bool {
        self.pages.fetch_add(1, Ordering::SeqCst) + 1 == self.fails
    }

    fn answers(&self) -> Result<(), StoreError> {
        if self.is_away() { Err(StoreError::Unavailable("away".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Intents for Few {
    async fn after(&self, scope: Scope, after: Option<Uuid>, _: u32) -> Result<Vec<Intent>, StoreError> {
        self.answers()?;
        self.store.after(scope, after, FEW).await
    }

    async fn of(&self, scope: Scope, ids: &[Uuid]) -> Result<Vec<Intent>, StoreError> {
        self.store.of(scope, ids).await
    }

    async fn homes_after(&self, after: Option<&str>, _: u32) -> Result<Vec<Home>, StoreError> {
        self.answers()?;
        self.store.homes_after(after, FEW).await
    }

    async fn homes_of(&self, ids: &[Uuid]) -> Result<Vec<Home>, StoreError> {
        self.store.homes_of(ids).await
    }
}

struct FewHeld(&'static Few);

#[async_trait]
impl RelationshipPages for FewHeld {
    async fn page(&self, kind: &str, after: Option<&str>, _: u32) -> Result<RelationshipPage, PermissionsError> {
        if self.0.is_away() {
            return Err(PermissionsError::Unavailable("away".to_owned()));
        }
        let page = self.0.cast.world.held.page(kind, after, FEW).await?;
        assert!(page.relationships.len() <= FEW as usize);
        Ok(page)
    }
}

/// What is found, as text and sorted, how often an outage was met, and how many pages there were.
async fn compared(few: &'static Few) -> (Vec<String>, usize, usize) {
    let sides = Sides { berth: &few.cast.world.berth, intents: few, held: &FewHeld(few) };
    let (mut walk, mut found, mut outages) = (Walk::default(), Vec::new(), 0);
    loop {
        match step(&sides, &mut walk, Mode::default()).await {
            Ok(stretch) => {
                found.extend(stretch.found.iter().map(|(drift, _)| drift.json().to_string()));
                if stretch.is_last {
                    found.sort_unstable();
                    return (found, outages, few.pages.load(Ordering::SeqCst));
                }
            }
            Err(error) => {
                assert!(matches!(&error, Error::Store(_) | Error::Permissions(_)) && error.is_outage(), "{error}");
                outages += 1;
            }
        }
    }
}

#[rstest]
#[tokio::test]
async fn nothing_is_missed_between_pages_or_told_twice(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast: &'static Cast = Box::leak(Box::new(Cast::new(system).await));
    let few = |fails| -> &'static Few { Box::leak(Box::new(Few { cast, store: cast.store(), pages: AtomicUsize::new(0), fails })) };
    assert_eq!(compared(few(0)).await.0, Vec::<String>::new());
    let (mut workspaces, mut programs) = (vec![cast.workspace], Vec::new());
    for n in 0..4 {
        workspaces.push(cast.world.workspace(&cast.ada, cast.account, &format!("Team {n}")).await);
        let name = format!("robot {n}");
        let made = cast.world.berth.principals.ensure(PrincipalKind::ServiceAccount, &name, Some(cast.account), Uuid::new_v4());
        programs.push(made.await.unwrap().principal.id);
    }
    for workspace in &workspaces {
        // Known and too much; and about what nobody knows.
        cast.write(Update::Touch(Relationship::new(Object::workspace(*workspace), "viewer", Object::new("user", Uuid::new_v4())))).await;
        cast.write(Update::Touch(Relationship::new(Object::account(Uuid::new_v4()), "owner", cast.bob.principal.into()))).await;
        let elsewhere = Object::environment(Uuid::new_v4());
        cast.write(Update::Touch(Relationship::new(elsewhere, "workspace", Object::workspace(*workspace)))).await;
    }
    let (found, _, pages) = compared(few(0)).await;
    // As many as the pages of usual size tell.
    let mut at_once: Vec<String> = cast.compared(Mode::default()).await.iter().map(|(drift, _)| drift.json().to_string()).collect();
    at_once.sort_unstable();
    assert_eq!(found, at_once);
    assert_eq!(found.len(), 3 * workspaces.len() + programs.len(), "{found:#?}");
    assert!(pages > 20, "{pages} pages are too few for twos");
    // Each page in turn is away once, and is read again.
    for fails in 1..=pages {
        assert_eq!(compared(few(fails)).await, (found.clone(), 1, pages + 1), "away at page {fails}");
    }
}
