//! Walks the schema over the tuples: forward for a check, backward for a lookup.
//!
//! Both go in rounds, and a round asks the store once for all that it needs, whatever the number of checks: a workspace is
//! three rounds from the platform. Of a relation that grants, only the subject in question is asked for, however many there are.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use domain::permissions::{Object, PermissionsError, Relationship, Revision, Tuples, Wanted};

use super::remembered::{Key, Recalled, Remembered, Subjects};
use crate::permissions::schema::{Expression, Item, Schema, Type};

/// How much one query asks for: what both databases can bind.
const CHUNK: usize = 500;

/// One check, its names those of the schema.
pub(super) struct Goal<'a> {
    pub resource: &'a Object,
    /// A permission or a relation.
    pub name: &'static str,
    pub subject: &'a Object,
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
    /// Of all that is in `read` and `recalled`.
    revision: Option<Revision>,
    /// Whether that is new enough: the store has named it since the reading began, or with the row that is asked about.
    is_present: bool,
    read: Subjects,
    /// What was relied on that had been read before.
    recalled: Vec<Arc<Wanted>>,
    /// What the last round asked the store for.
    missing: Vec<Wanted>,
}

/// One check on its way: what is still to be looked at, and what has been.
struct Walk<'a> {
    subject: &'a Object,
    answer: bool,
    frontier: Vec<Place<'a>>,
    seen: HashSet<(Object, &'static str)>,
}

/// An object, and what a permission on it rests on.
type Place<'a> = (Cow<'a, Object>, &'a Branches);

/// All that is known so far.
struct Known<'k> {
    read: &'k Subjects,
    remembered: Option<Recalled<'k>>,
    recalled: &'k mut Vec<Arc<Wanted>>,
}

impl Known<'_> {
    /// `None`: it has to be asked for.
    fn of(&mut self, key: Key<'_>) -> Option<Arc<[Object]>> {
        if let Some(subjects) = self.read.get(&key) {
            return Some(subjects.clone());
        }
        let (wanted, subjects) = self.remembered.as_ref()?.get(&key)?;
        self.recalled.push(wanted.clone());
        Some(subjects.clone())
    }
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
    fn wanted<'a>(&'a self, object: &'a Object, subject: &'a Object) -> impl Iterator<Item = Key<'a>> {
        self.held(object, subject).chain(self.led(object).map(|(key, _)| key))
    }

    /// Each of these grants, if the subject is in it.
    fn held<'a>(&'a self, object: &'a Object, subject: &'a Object) -> impl Iterator<Item = Key<'a>> {
        self.direct.iter().map(move |relation| Key { resource: object, relation, subject: Some(subject) })
    }

    /// Each leads on, to the permission named.
    fn led<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = (Key<'a>, &'static str)> {
        self.arrows.iter().map(move |(relation, permission)| (Key { resource: object, relation, subject: None }, *permission))
    }
}

impl<'a> Reading<'a> {
    pub fn new(tuples: &'a dyn Tuples, schema: Schema, opened: &'a Opened, remembered: &'a Remembered) -> Self {
        Self {
            tuples,
            schema,
            opened,
            remembered,
            revision: None,
            is_present: false,
            read: Subjects::default(),
            recalled: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// `ahead` is what an earlier reading has asked for, and is asked for at once: so it is all of one revision, however many writes come
    /// between one round and the next.
    /// `seen` is as good as the present revision.
    pub async fn check(&mut self, goals: &[Goal<'a>], ahead: BTreeSet<Wanted>, seen: Option<Revision>) -> Result<Vec<bool>, Stopped> {
        if ahead.is_empty() {
            self.revision = self.remembered.revision();
            self.is_present = seen.is_some() && seen == self.revision;
        }
        self.fetch(ahead).await?;
        let walk = |goal: &Goal<'a>| {
            let start = self.opened.branches(goal.resource, goal.name).map(|branches| (Cow::Borrowed(goal.resource), branches));
            Walk { subject: goal.subject, answer: false, frontier: start.into_iter().collect(), seen: HashSet::new() }
        };
        let mut walks: Vec<_> = goals.iter().map(walk).collect();
        loop {
            let mut needed = self.advance(&mut walks);
            if needed.is_empty() {
                break;
            }
            if self.read.is_empty() {
                needed.extend(self.look_ahead(goals));
            }
            self.fetch(needed).await?;
        }
        if !self.is_present && self.has_tuples() {
            let revision = self.tuples.revision().await?;
            self.see(revision)?;
        }
        Ok(walks.into_iter().map(|walk| walk.answer).collect())
    }

    /// Where things of several kinds are asked about, one leads to another, as an environment to its workspace. So all that a
    /// right on any of them can rest on is read at once.
    fn look_ahead(&self, goals: &[Goal<'_>]) -> BTreeSet<Wanted> {
        let kinds: BTreeSet<&str> = goals.iter().map(|goal| goal.resource.kind.as_str()).collect();
        if kinds.len() < 2 {
            return BTreeSet::new();
        }
        let of = |goal: &Goal<'_>| {
            let kind = self.schema.find(&goal.resource.kind)?;
            let branches = kind.permissions.iter().filter_map(|permission| self.opened.branches(goal.resource, permission.name));
            Some(branches.flat_map(|branches| branches.wanted(goal.resource, goal.subject)).map(Key::to_wanted).collect::<Vec<_>>())
        };
        goals.iter().filter_map(of).flatten().collect()
    }

    /// Takes each walk as far as what is known leads; returns what has to be asked for to take it on.
    fn advance(&mut self, walks: &mut [Walk<'a>]) -> BTreeSet<Wanted> {
        let remembered = self.revision.and_then(|revision| self.remembered.at(revision));
        let mut known = Known { read: &self.read, remembered, recalled: &mut self.recalled };
        let mut needed = BTreeSet::new();
        for walk in walks {
            needed.extend(walk.advance(self.opened, &mut known));
        }
        needed
    }

    /// All that it has asked for so far.
    pub fn asked(self) -> BTreeSet<Wanted> {
        let known = self.read.into_keys().chain(self.recalled).map(Arc::unwrap_or_clone);
        known.chain(self.missing).collect()
    }

    /// Whether anything has been read or recalled, which is of `revision`.
    fn has_tuples(&self) -> bool {
        !self.read.is_empty() || !self.recalled.is_empty()
    }

    async fn fetch(&mut self, needed: BTreeSet<Wanted>) -> Result<(), Stopped> {
        self.missing = needed.into_iter().filter(|wanted| !self.read.contains_key(wanted)).collect();
        let missing = self.missing.clone();
        for chunk in missing.chunks(CHUNK) {
            let (revision, found) = self.tuples.subjects(chunk).await?;
            let found: Vec<(Arc<Wanted>, Arc<[Object]>)> =
                chunk.iter().cloned().map(Arc::new).zip(found.into_iter().map(Arc::from)).collect();
            self.remembered.learn(revision, &found);
            self.see(revision)?;
            self.read.extend(found);
        }
        Ok(())
    }

    /// The store has just named its revision.
    fn see(&mut self, revision: Revision) -> Result<(), Stopped> {
        if self.revision.is_some_and(|known| known != revision) && self.has_tuples() {
            self.remembered.learn(revision, &[]);
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

impl<'a> Walk<'a> {
    /// Goes on as far as what is known leads; returns what has to be asked for. One that has its answer has nothing left to look at.
    fn advance(&mut self, opened: &'a Opened, known: &mut Known<'_>) -> Vec<Wanted> {
        let (mut needed, mut waiting) = (Vec::new(), Vec::new());
        while let Some((object, branches)) = self.frontier.pop() {
            let asked = needed.len();
            for key in branches.held(&object, self.subject) {
                match known.of(key) {
                    Some(subjects) if subjects.is_empty() => {}
                    Some(_) => {
                        self.answer = true;
                        self.frontier.clear();
                        return Vec::new();
                    }
                    None => needed.push(key.to_wanted()),
                }
            }
            let mut led = Vec::new();
            for (key, permission) in branches.led(&object) {
                match known.of(key) {
                    Some(subjects) => led.push((subjects, permission)),
                    None => needed.push(key.to_wanted()),
                }
            }
            if needed.len() > asked {
                waiting.push((object, branches));
                continue;
            }
            for (subjects, permission) in led {
                for next in subjects.iter() {
                    if self.seen.insert((next.clone(), permission)) {
                        self.frontier.extend(opened.branches(next, permission).map(|branches| (Cow::Owned(next.clone()), branches)));
                    }
                }
            }
        }
        self.frontier = waiting;
        needed
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
