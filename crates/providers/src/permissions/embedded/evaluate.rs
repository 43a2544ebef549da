//! Walks the schema over the tuples: forward for a check, backward for a lookup.
//!
//! Both go in rounds, and a round asks the store once for all that it needs, whatever the number of checks: a workspace is
//! three rounds from the platform.

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::permissions::{Object, PermissionsError, Relationship, Tuples};

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

/// Tuples read so far, for one answer.
pub(super) struct Reading<'a> {
    tuples: &'a dyn Tuples,
    schema: Schema,
    subjects: HashMap<(Object, String), Vec<Object>>,
    queries: usize,
}

/// One check on its way: what is still to be looked at, and what has been.
struct Walk<'a> {
    subject: &'a Object,
    answer: bool,
    frontier: Vec<(Object, &'static str)>,
    seen: HashSet<(Object, &'static str)>,
}

/// What a relation or permission of an object comes to, opened up to its relations.
#[derive(Default)]
struct Opened {
    direct: Vec<&'static str>,
    /// Relation, and the permission to ask for where it leads.
    arrows: Vec<(&'static str, &'static str)>,
}

impl Opened {
    fn of(kind: &'static Type, name: &str) -> Self {
        let mut opened = Self::default();
        let mut seen = HashSet::new();
        opened.add(kind, name, &mut seen);
        opened
    }

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
}

impl<'a> Reading<'a> {
    pub fn new(tuples: &'a dyn Tuples, schema: Schema) -> Self {
        Self { tuples, schema, subjects: HashMap::new(), queries: 0 }
    }

    /// How many queries it took.
    pub fn queries(&self) -> usize {
        self.queries
    }

    pub async fn check(&mut self, goals: &[Goal]) -> Result<Vec<bool>, PermissionsError> {
        let mut walks: Vec<_> = goals
            .iter()
            .map(|g| Walk { subject: &g.subject, answer: false, frontier: vec![(g.resource.clone(), g.name)], seen: HashSet::new() })
            .collect();
        self.look_ahead(goals).await?;
        while walks.iter().any(|w| !w.frontier.is_empty()) {
            let mut needed = BTreeSet::new();
            for (object, name) in walks.iter().flat_map(|w| &w.frontier) {
                let Some(kind) = self.schema.find(&object.kind) else { continue };
                let Opened { direct, arrows } = Opened::of(kind, name);
                for relation in direct.into_iter().chain(arrows.into_iter().map(|(relation, _)| relation)) {
                    needed.insert((object.clone(), relation.to_owned()));
                }
            }
            self.fetch(needed).await?;
            for walk in &mut walks {
                self.step(walk);
            }
        }
        Ok(walks.into_iter().map(|w| w.answer).collect())
    }

    /// Where things of several kinds are asked about, one leads to another, as an environment to its workspace. So all that a
    /// right on any of them can rest on is read at once: what one query answers need not be read again when a write comes between.
    async fn look_ahead(&mut self, goals: &[Goal]) -> Result<(), PermissionsError> {
        let kinds: BTreeSet<&str> = goals.iter().map(|goal| goal.resource.kind.as_str()).collect();
        if kinds.len() < 2 {
            return Ok(());
        }
        let mut needed = BTreeSet::new();
        for Goal { resource, .. } in goals {
            let Some(kind) = self.schema.find(&resource.kind) else { continue };
            let opened = kind.permissions.iter().map(|permission| Opened::of(kind, permission.name));
            let relations = opened.flat_map(|Opened { direct, arrows }| direct.into_iter().chain(arrows.into_iter().map(|(name, _)| name)));
            needed.extend(relations.map(|relation| (resource.clone(), relation.to_owned())));
        }
        self.fetch(needed).await
    }

    /// Takes a walk one round on; one that has its answer has nothing left to look at.
    fn step(&self, walk: &mut Walk<'_>) {
        for (object, name) in std::mem::take(&mut walk.frontier) {
            let Some(kind) = self.schema.find(&object.kind) else { continue };
            let Opened { direct, arrows } = Opened::of(kind, name);
            if direct.iter().any(|relation| self.of(&object, relation).contains(walk.subject)) {
                walk.answer = true;
                walk.frontier.clear();
                return;
            }
            for (relation, permission) in arrows {
                for next in self.of(&object, relation) {
                    if walk.seen.insert((next.clone(), permission)) {
                        walk.frontier.push((next.clone(), permission));
                    }
                }
            }
        }
    }

    fn of(&self, object: &Object, relation: &str) -> &[Object] {
        self.subjects.get(&(object.clone(), relation.to_owned())).map_or(&[], Vec::as_slice)
    }

    async fn fetch(&mut self, needed: BTreeSet<(Object, String)>) -> Result<(), PermissionsError> {
        let missing: Vec<_> = needed.into_iter().filter(|pair| !self.subjects.contains_key(pair)).collect();
        for chunk in missing.chunks(CHUNK) {
            self.queries += 1;
            let found = self.tuples.subjects(chunk).await?;
            for pair in chunk {
                self.subjects.insert(pair.clone(), Vec::new());
            }
            for Relationship { resource, relation, subject } in found {
                self.subjects.entry((resource, relation)).or_default().push(subject);
            }
        }
        Ok(())
    }

    /// Ids of all objects of `kind` on which `subject` has `name`, sorted.
    pub async fn lookup(&mut self, kind: &str, name: &str, subject: &Object) -> Result<Vec<String>, PermissionsError> {
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

    async fn by_subject(&mut self, subjects: &[Object]) -> Result<Vec<Relationship>, PermissionsError> {
        let mut found = Vec::new();
        for chunk in subjects.chunks(CHUNK) {
            self.queries += 1;
            found.extend(self.tuples.by_subject(chunk).await?);
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
