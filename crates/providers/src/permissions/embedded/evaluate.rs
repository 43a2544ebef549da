//! Walks the schema over the tuples: forward for a check, backward for a lookup.
//!
//! Both go in rounds, and a round asks the store once for all that it needs, whatever the number of checks: a workspace is
//! three rounds from the platform. Of a relation that grants, only the subject in question is asked for, however many there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use domain::permissions::{Object, PermissionsError, Relationship, Revision, Tuples, Wanted};

use super::remembered::Remembered;
use crate::permissions::schema::{Expression, Item, Schema, Type};

/// How much one query asks for: what both databases can bind.
const CHUNK: usize = 500;

/// One check, its names those of the schema.
pub(super) struct Goal {
    pub resource: Object,
    /// A permission or a relation.
    pub name: &'static str,
    pub subject: Object,
}

/// Why a reading ends without an answer.
pub(super) enum Stopped {
    /// The tuples have moved on: it would be of two revisions, or of one that is past.
    Moved,
    Failed(PermissionsError),
}

impl From<PermissionsError> for Stopped {
    fn from(error: PermissionsError) -> Self {
        Self::Failed(error)
    }
}

/// Tuples read so far, for one answer.
pub(super) struct Reading<'a> {
    tuples: &'a dyn Tuples,
    schema: Schema,
    opened: &'a Opened,
    remembered: &'a Remembered,
    /// Of all that is in `subjects`.
    revision: Option<Revision>,
    /// Whether the store has named that revision since the reading began.
    is_present: bool,
    subjects: HashMap<Wanted, Arc<[Object]>>,
    /// What the last round asked the store for.
    missing: Vec<Wanted>,
}

/// One check on its way: what is still to be looked at, and what has been.
struct Walk<'a> {
    subject: &'a Object,
    answer: bool,
    frontier: Vec<(Object, &'static str)>,
    seen: HashSet<(Object, &'static str)>,
}

/// What each relation and permission of each type comes to, opened up to its relations.
pub(super) struct Opened {
    schema: Schema,
    branches: HashMap<(&'static str, &'static str), Branches>,
}

#[derive(Default)]
struct Branches {
    direct: Vec<&'static str>,
    /// Relation, and the permission to ask for where it leads.
    arrows: Vec<(&'static str, &'static str)>,
}

impl Opened {
    pub fn of(schema: Schema) -> Self {
        let mut all = HashMap::new();
        for kind in schema.0 {
            for name in kind.relations.iter().map(|r| r.name).chain(kind.permissions.iter().map(|p| p.name)) {
                let mut branches = Branches::default();
                branches.add(kind, name, &mut HashSet::new());
                all.insert((kind.name, name), branches);
            }
        }
        Self { schema, branches: all }
    }

    fn branches(&self, object: &Object, name: &'static str) -> Option<&Branches> {
        let kind = self.schema.find(&object.kind)?;
        self.branches.get(&(kind.name, name))
    }
}

impl Branches {
    fn add(&mut self, kind: &'static Type, name: &str, seen: &mut HashSet<&'static str>) {
        let Some(item) = kind.item(name) else { return };
        if !seen.insert(item.name()) {
            return;
        }
        match item {
            Item::Relation(relation) => self.direct.push(relation.name),
            Item::Permission(permission) => {
                for term in permission.expression.terms() {
                    match term {
                        Expression::Relation(name) | Expression::Permission(name) => self.add(kind, name, seen),
                        Expression::Arrow { relation, permission } => self.arrows.push((relation, permission)),
                        Expression::Union(_) => {}
                    }
                }
            }
        }
    }

    /// What has to be known of `object` to go on with a check of `subject`.
    fn wanted<'a>(&'a self, object: &'a Object, subject: &'a Object) -> impl Iterator<Item = Wanted> + 'a {
        let direct = self.direct.iter().map(move |relation| (*relation, Some(subject)));
        let arrows = self.arrows.iter().map(|(relation, _)| (*relation, None));
        direct.chain(arrows).map(move |(relation, subject)| wanted(object, relation, subject))
    }
}

fn wanted(resource: &Object, relation: &'static str, subject: Option<&Object>) -> Wanted {
    Wanted { resource: resource.clone(), relation, subject: subject.cloned() }
}

impl<'a> Reading<'a> {
    pub fn new(tuples: &'a dyn Tuples, schema: Schema, opened: &'a Opened, remembered: &'a Remembered) -> Self {
        Self { tuples, schema, opened, remembered, revision: None, is_present: false, subjects: HashMap::new(), missing: Vec::new() }
    }

    /// `ahead` is what an earlier reading has asked for, and is asked for at once: so it is all of one revision, however many writes come
    /// between one round and the next.
    pub async fn check(&mut self, goals: &[Goal], mut ahead: BTreeSet<Wanted>) -> Result<Vec<bool>, Stopped> {
        if ahead.is_empty() {
            self.revision = self.remembered.revision();
        }
        ahead.extend(self.look_ahead(goals));
        self.fetch(ahead).await?;
        let mut walks: Vec<_> = goals
            .iter()
            .map(|g| Walk { subject: &g.subject, answer: false, frontier: vec![(g.resource.clone(), g.name)], seen: HashSet::new() })
            .collect();
        while walks.iter().any(|w| !w.frontier.is_empty()) {
            let mut needed = BTreeSet::new();
            for walk in &walks {
                for (object, name) in &walk.frontier {
                    needed.extend(self.opened.branches(object, name).into_iter().flat_map(|b| b.wanted(object, walk.subject)));
                }
            }
            self.fetch(needed).await?;
            for walk in &mut walks {
                self.step(walk);
            }
        }
        if !self.is_present && !self.subjects.is_empty() {
            let revision = self.tuples.revision().await?;
            self.see(revision)?;
        }
        Ok(walks.into_iter().map(|w| w.answer).collect())
    }

    /// Where things of several kinds are asked about, one leads to another, as an environment to its workspace. So all that a
    /// right on any of them can rest on is read at once.
    fn look_ahead(&self, goals: &[Goal]) -> BTreeSet<Wanted> {
        let kinds: BTreeSet<&str> = goals.iter().map(|goal| goal.resource.kind.as_str()).collect();
        if kinds.len() < 2 {
            return BTreeSet::new();
        }
        let of = |goal: &Goal| {
            let kind = self.schema.find(&goal.resource.kind)?;
            let branches = kind.permissions.iter().filter_map(|permission| self.opened.branches(&goal.resource, permission.name));
            Some(branches.flat_map(|branches| branches.wanted(&goal.resource, &goal.subject)).collect::<Vec<_>>())
        };
        goals.iter().filter_map(of).flatten().collect()
    }

    /// Takes a walk one round on; one that has its answer has nothing left to look at.
    fn step(&self, walk: &mut Walk<'_>) {
        for (object, name) in std::mem::take(&mut walk.frontier) {
            let Some(Branches { direct, arrows }) = self.opened.branches(&object, name) else { continue };
            if direct.iter().any(|relation| !self.of(&wanted(&object, relation, Some(walk.subject))).is_empty()) {
                walk.answer = true;
                walk.frontier.clear();
                return;
            }
            for (relation, permission) in arrows {
                for next in self.of(&wanted(&object, relation, None)) {
                    if walk.seen.insert((next.clone(), permission)) {
                        walk.frontier.push((next.clone(), permission));
                    }
                }
            }
        }
    }

    fn of(&self, wanted: &Wanted) -> &[Object] {
        self.subjects.get(wanted).map_or(&[], |subjects| subjects)
    }

    /// All that it has asked for so far.
    pub fn asked(self) -> BTreeSet<Wanted> {
        self.subjects.into_keys().chain(self.missing).collect()
    }

    async fn fetch(&mut self, needed: BTreeSet<Wanted>) -> Result<(), Stopped> {
        let mut missing: Vec<_> = needed.into_iter().filter(|wanted| !self.subjects.contains_key(wanted)).collect();
        if let Some(revision) = self.revision {
            missing = self.remembered.recall(revision, missing, &mut self.subjects);
        }
        self.missing.clone_from(&missing);
        for chunk in missing.chunks(CHUNK) {
            let (revision, found) = self.tuples.subjects(chunk).await?;
            let found: Vec<_> = chunk.iter().zip(found.into_iter().map(Arc::from)).collect();
            self.remembered.learn(revision, found.iter().map(|(wanted, subjects)| (*wanted, subjects)));
            self.see(revision)?;
            self.subjects.extend(found.into_iter().map(|(wanted, subjects)| (wanted.clone(), subjects)));
        }
        Ok(())
    }

    /// The store has just named its revision.
    fn see(&mut self, revision: Revision) -> Result<(), Stopped> {
        if self.revision.is_some_and(|known| known != revision) && !self.subjects.is_empty() {
            self.remembered.learn(revision, std::iter::empty());
            return Err(Stopped::Moved);
        }
        self.revision = Some(revision);
        self.is_present = true;
        Ok(())
    }

    /// Ids of all objects of `kind` on which `subject` has `name`, sorted.
    pub async fn lookup(&mut self, kind: &str, name: &str, subject: &Object) -> Result<Vec<String>, Stopped> {
        // What the subject has: a relation or permission, on an object.
        let mut held: HashSet<(Object, &'static str)> = HashSet::new();
        let mut fresh: Vec<(Object, &'static str)> = Vec::new();
        for Relationship { resource, relation, .. } in self.by_subject(std::slice::from_ref(subject)).await? {
            if let Some(relation) = self.schema.find(&resource.kind).and_then(|t| t.relation(&relation)) {
                gain(&mut held, &mut fresh, resource, relation.name);
            }
        }
        let mut leading: HashMap<Object, Vec<Relationship>> = HashMap::new();
        while !fresh.is_empty() {
            let round = std::mem::take(&mut fresh);
            let ask: BTreeSet<Object> = round
                .iter()
                .filter(|(o, name)| is_followed(self.schema, name) && !leading.contains_key(o))
                .map(|(o, _)| o.clone())
                .collect();
            let ask: Vec<_> = ask.into_iter().collect();
            leading.extend(ask.iter().map(|o| (o.clone(), Vec::new())));
            for tuple in self.by_subject(&ask).await? {
                leading.entry(tuple.subject.clone()).or_default().push(tuple);
            }
            for (object, name) in round {
                for (permission, term) in self.schema.find(&object.kind).into_iter().flat_map(terms) {
                    if matches!(term, Expression::Relation(n) | Expression::Permission(n) if *n == name) {
                        gain(&mut held, &mut fresh, object.clone(), permission);
                    }
                }
                for tuple in leading.get(&object).into_iter().flatten() {
                    for (permission, term) in self.schema.find(&tuple.resource.kind).into_iter().flat_map(terms) {
                        if matches!(term, Expression::Arrow { relation, permission } if *relation == tuple.relation && *permission == name)
                        {
                            gain(&mut held, &mut fresh, tuple.resource.clone(), permission);
                        }
                    }
                }
            }
        }
        let ids: BTreeSet<_> = held.into_iter().filter(|(o, n)| o.kind == kind && *n == name).map(|(o, _)| o.id).collect();
        Ok(ids.into_iter().collect())
    }

    async fn by_subject(&mut self, subjects: &[Object]) -> Result<Vec<Relationship>, Stopped> {
        let mut found = Vec::new();
        for chunk in subjects.chunks(CHUNK) {
            let (revision, some) = self.tuples.by_subject(chunk).await?;
            if self.revision.is_some_and(|known| known != revision) {
                return Err(Stopped::Moved);
            }
            self.revision = Some(revision);
            found.extend(some);
        }
        Ok(found)
    }
}

fn gain(held: &mut HashSet<(Object, &'static str)>, fresh: &mut Vec<(Object, &'static str)>, object: Object, name: &'static str) {
    if held.insert((object.clone(), name)) {
        fresh.push((object, name));
    }
}

/// Each permission of a type with each term of its expression.
fn terms(kind: &'static Type) -> impl Iterator<Item = (&'static str, &'static Expression)> {
    kind.permissions.iter().flat_map(|p| p.expression.terms().into_iter().map(|term| (p.name, term)))
}

/// Whether any arrow of the schema asks for this permission where it leads.
fn is_followed(schema: Schema, name: &str) -> bool {
    schema.0.iter().flat_map(terms).any(|(_, term)| matches!(term, Expression::Arrow { permission, .. } if *permission == name))
}
