//! Mistakes put into the evaluator: each is found by the recorded answers, and so the comparison can tell.

use std::sync::Arc;

use async_trait::async_trait;
use domain::permissions::{Filter, Object, PermissionsError, Precondition, Relationship, Revision, Tuples, Update, Wanted};
use rstest::rstest;

use super::memory::Memory;
use super::recorded::recording;
use super::script::difference;
use crate::permissions::Embedded;
use crate::permissions::schema::{BERTH, Expression, Permission, Relation, SCHEMA, Schema, Type};

/// The table with one permission's terms changed. Leaks it, as a table lives for ever.
fn changed(kind: &str, name: &str, change: impl Fn(&mut Vec<Expression>)) -> Schema {
    let permission = |t: &'static Type, p: &'static Permission| {
        let mut terms: Vec<Expression> = p.expression.terms().into_iter().copied().collect();
        if t.name == kind && p.name == name {
            let before = format!("{terms:?}");
            change(&mut terms);
            assert_ne!(format!("{terms:?}"), before, "nothing was planted");
        }
        Permission { name: p.name, expression: Expression::Union(terms.leak()) }
    };
    let types = SCHEMA.iter().map(|t| {
        let permissions: Vec<_> = t.permissions.iter().map(|p| permission(t, p)).collect();
        Type { permissions: permissions.leak(), ..*t }
    });
    Schema(types.collect::<Vec<_>>().leak())
}

fn without(kind: &str, name: &str, term: &str) -> Schema {
    changed(kind, name, |terms| terms.retain(|t| !format!("{t:?}").contains(term)))
}

fn with(kind: &str, name: &str, term: Expression) -> Schema {
    changed(kind, name, |terms| terms.push(term))
}

/// Owners may be service accounts.
fn lax() -> Schema {
    let relation =
        |r: &Relation| Relation { subjects: if r.name == "owner" { &["user", "service_account", "saga"] } else { r.subjects }, ..*r };
    let types = SCHEMA.iter().map(|t| Type { relations: t.relations.iter().map(relation).collect::<Vec<_>>().leak(), ..*t });
    Schema(types.collect::<Vec<_>>().leak())
}

#[rstest]
#[case::an_arrow_is_forgotten(without("workspace", "read", "Arrow"))]
#[case::a_term_of_a_union_is_forgotten(without("workspace", "write", "member"))]
#[case::a_permission_within_a_permission_is_forgotten(without("workspace", "write", "administer"))]
#[case::a_role_is_given_too_much(with("account", "read_workspaces", Expression::Relation("member")))]
#[case::membership_goes_through_the_account(with("workspace", "membership", Expression::Arrow { relation: "account", permission: "administer" }))]
#[case::a_seal_grants(with("workspace", "read", Expression::Relation("sealed")))]
#[case::an_arrow_leads_to_the_wrong_permission(changed("environment", "read", |terms| {
    *terms = vec![Expression::Arrow { relation: "workspace", permission: "write" }];
}))]
#[case::an_auditor_administers(with("platform", "administer", Expression::Relation("auditor")))]
#[case::a_subject_is_allowed_where_it_may_not_stand(lax())]
#[tokio::test]
async fn a_mistake_in_the_table_is_found(#[case] schema: Schema) {
    assert!(is_found(|| Embedded::with_schema(Arc::new(Memory::default()), schema)).await);
}

#[tokio::test]
async fn no_mistake_is_found_where_none_is() {
    assert!(!is_found(|| Embedded::with_schema(Arc::new(Memory::default()), BERTH)).await);
    assert!(!is_found(|| Embedded::new(Arc::new(Flawed { inner: Memory::default(), flaw: Flaw::None }))).await);
}

/// Whether any recorded script is answered otherwise.
async fn is_found(system: impl Fn() -> Embedded) -> bool {
    for script in recording().scripts {
        if difference(&script.acts, &script.answers, &system()).await.is_some() {
            return true;
        }
    }
    false
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The reverse index misses one of several.
    Overlooks,
    /// The forward index does.
    Forgets,
    IgnoresPreconditions,
    /// Tells of the last precondition that does not hold, not of the first.
    NamesTheLast,
    CreatesTwice,
    KeepsWhatIsDeleted,
    /// Takes a filter's subject for any subject.
    TakesAnySubject,
    /// Does the updates that it can, and then refuses.
    DoesHalf,
}

struct Flawed {
    inner: Memory,
    flaw: Flaw,
}

impl Flawed {
    fn missing_one<T>(&self, flaw: Flaw, found: &mut Vec<T>) {
        if self.flaw == flaw {
            found.pop();
        }
    }
}

#[async_trait]
impl Tuples for Flawed {
    async fn revision(&self) -> Result<Revision, PermissionsError> {
        self.inner.revision().await
    }

    async fn subjects(&self, wanted: &[Wanted]) -> Result<(Revision, Vec<Vec<Object>>), PermissionsError> {
        let (revision, mut found) = self.inner.subjects(wanted).await?;
        let some = found.iter_mut().filter(|subjects| !subjects.is_empty());
        // Of those that are found there is one at least.
        if let Some(last) = some.skip(1).last() {
            self.missing_one(Flaw::Forgets, last);
        }
        Ok((revision, found))
    }

    async fn by_subject(&self, subjects: &[Object]) -> Result<(Revision, Vec<Relationship>), PermissionsError> {
        let (revision, mut found) = self.inner.by_subject(subjects).await?;
        if found.len() > 1 {
            self.missing_one(Flaw::Overlooks, &mut found);
        }
        Ok((revision, found))
    }

    async fn matching(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        let subject = if self.flaw == Flaw::TakesAnySubject { None } else { filter.subject.clone() };
        self.inner.matching(&Filter { subject, ..filter.clone() }).await
    }

    async fn page(&self, kind: &str, after: Option<&Relationship>, limit: u32) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.page(kind, after, limit).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<i64, PermissionsError> {
        let mut updates = updates.to_vec();
        match self.flaw {
            Flaw::IgnoresPreconditions => return self.inner.write(&updates, &[]).await,
            Flaw::NamesTheLast => {
                let backwards: Vec<_> = preconditions.iter().rev().cloned().collect();
                return self.inner.write(&updates, &backwards).await.map_err(|error| match error {
                    PermissionsError::PreconditionFailed { index } => {
                        PermissionsError::PreconditionFailed { index: preconditions.len() - 1 - index }
                    }
                    error => error,
                });
            }
            Flaw::CreatesTwice => {
                for update in &mut updates {
                    if let Update::Create(r) = update {
                        *update = Update::Touch(r.clone());
                    }
                }
            }
            Flaw::KeepsWhatIsDeleted => updates.retain(|u| !matches!(u, Update::Delete(_))),
            Flaw::DoesHalf => {
                let sound: Vec<_> = updates.iter().filter(|u| !matches!(u, Update::Create(_))).cloned().collect();
                self.inner.write(&sound, preconditions).await?;
            }
            _ => {}
        }
        self.inner.write(&updates, preconditions).await
    }
}

#[rstest]
#[case(Flaw::Overlooks)]
#[case(Flaw::Forgets)]
#[case(Flaw::IgnoresPreconditions)]
#[case(Flaw::NamesTheLast)]
#[case(Flaw::CreatesTwice)]
#[case(Flaw::KeepsWhatIsDeleted)]
#[case(Flaw::TakesAnySubject)]
#[case(Flaw::DoesHalf)]
#[tokio::test]
async fn a_mistake_under_the_evaluator_is_found(#[case] flaw: Flaw) {
    assert!(is_found(|| Embedded::new(Arc::new(Flawed { inner: Memory::default(), flaw }))).await);
}
