//! What is asked of a permission system, one after the other, and what it answers: so that two can be compared, and the
//! answers of one kept.

use domain::permissions::Update::{Create, Delete, Touch};
use domain::permissions::{Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Update};
use serde::{Deserialize, Serialize};

use super::CAUSE;
use super::notation::{asked, tuple};

/// In the notation of the file: updates are `+tuple` (create), `=tuple` (touch) and `-tuple` (delete); preconditions are `must` or
/// `never` and a filter; a filter is a tuple with `?` for what may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Write(Vec<String>, Vec<String>),
    Check(Vec<String>),
    Lookup(String),
    Read(String),
}

/// What it came to: one character per check, ids, tuples, or the kind of the error.
pub type Answer = String;

fn update(text: &str) -> Update {
    let tuple = tuple(&text[1..]);
    match &text[..1] {
        "+" => Create(tuple),
        "=" => Touch(tuple),
        "-" => Delete(tuple),
        other => panic!("no update begins with {other}"),
    }
}

fn filter(text: &str) -> Filter {
    let pattern = tuple(text);
    let given = |text: String| (text != "?").then_some(text);
    Filter {
        resource_kind: pattern.resource.kind,
        resource_id: given(pattern.resource.id),
        relation: given(pattern.relation),
        subject: (pattern.subject.kind != "?").then_some(pattern.subject),
    }
}

fn precondition(text: &str) -> Precondition {
    match text.split_once(' ').unwrap() {
        ("must", of) => Precondition::MustMatch(filter(of)),
        ("never", of) => Precondition::MustNotMatch(filter(of)),
        (other, _) => panic!("no precondition begins with {other}"),
    }
}

fn worded(answer: Result<String, PermissionsError>) -> Answer {
    match answer {
        Ok(answer) => answer,
        Err(PermissionsError::PreconditionFailed { index }) => format!("precondition {index}"),
        Err(PermissionsError::AlreadyExists) => "exists".to_owned(),
        Err(PermissionsError::Invalid(_)) => "invalid".to_owned(),
        Err(other) => panic!("not an answer: {other}"),
    }
}

impl Act {
    pub async fn play(&self, on: &dyn Permissions) -> Answer {
        worded(match self {
            Self::Write(updates, preconditions) => {
                let updates: Vec<_> = updates.iter().map(|u| update(u)).collect();
                let preconditions: Vec<_> = preconditions.iter().map(|p| precondition(p)).collect();
                on.write(&updates, &preconditions, &CAUSE).await.map(|_| "written".to_owned())
            }
            Self::Check(checks) => {
                let checks: Vec<_> = checks.iter().map(|c| asked(c)).collect();
                let answers = on.check(&checks, &Consistency::FullyConsistent).await;
                answers.map(|answers| answers.into_iter().map(|holds| if holds { '1' } else { '0' }).collect())
            }
            Self::Lookup(what) => {
                let what = asked(what);
                let found = on.lookup(&what.resource.kind, &what.permission, &what.subject, &Consistency::FullyConsistent).await;
                found.map(|mut ids| {
                    ids.sort();
                    ids.join(" ")
                })
            }
            Self::Read(what) => on.read(&filter(what)).await.map(|mut found| {
                found.sort();
                let worded = |o: Object| format!("{}:{}", o.kind, o.id);
                let tuples = found.into_iter().map(|r| format!("{}#{}@{}", worded(r.resource), r.relation, worded(r.subject)));
                tuples.collect::<Vec<_>>().join(" ")
            }),
        })
    }
}

/// What `on` answers to each.
pub async fn play(script: &[Act], on: &dyn Permissions) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(script.len());
    for act in script {
        answers.push(act.play(on).await);
    }
    answers
}

/// The first thing that is answered otherwise than `wanted`.
pub async fn difference(script: &[Act], wanted: &[Answer], on: &dyn Permissions) -> Option<String> {
    for (n, (act, wanted)) in script.iter().zip(wanted).enumerate() {
        let found = act.play(on).await;
        if found == *wanted {
            continue;
        }
        return Some(match act {
            Act::Check(checks) if found.len() == wanted.len() => {
                let at = found.bytes().zip(wanted.bytes()).position(|(a, b)| a != b).unwrap();
                format!("{n}. {}: {} instead of {}", checks[at], &found[at..=at], &wanted[at..=at])
            }
            act => format!("{n}. {act:?}: {found:?} instead of {wanted:?}"),
        });
    }
    None
}
