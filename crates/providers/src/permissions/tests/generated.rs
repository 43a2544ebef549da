//! Random scripts: tuples, updates, preconditions, checks and lookups over a small universe, so that they meet; and now and then
//! something that the schema does not allow.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::script::Act;
use crate::permissions::schema::SCHEMA;

/// How much of everything a script has.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rounds: usize,
    pub writes: usize,
    pub checks: usize,
    pub lookups: usize,
}

struct Universe(StdRng);

fn ids(kind: &str) -> &'static [&'static str] {
    match kind {
        "user" => &["ann", "bob", "cleo", "dan", "eve", "same"],
        "service_account" => &["robot", "runner", "same"],
        "saga" => &["r1", "r2", "r3"],
        "platform" => &["main", "second"],
        "account" => &["a1", "a2", "a3", "same"],
        "workspace" => &["w1", "w2", "w3", "w4", "w5", "same"],
        _ => &["e1", "e2", "e3", "e4", "e5", "e6"],
    }
}

impl Universe {
    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).unwrap()
    }

    fn object(&mut self, kind: &str) -> String {
        format!("{kind}:{}", self.one(ids(kind)))
    }

    fn anything(&mut self) -> String {
        let kind = self.0.random_range(0..SCHEMA.len());
        self.object(SCHEMA[kind].name)
    }

    /// A tuple that the schema allows; relations that lead somewhere more often, so that there are paths.
    fn tuple(&mut self) -> String {
        let relations: Vec<_> = SCHEMA.iter().flat_map(|t| t.relations.iter().map(move |r| (t, r))).collect();
        let leading: Vec<_> = relations.iter().copied().filter(|(_, r)| ["platform", "account", "workspace"].contains(&r.name)).collect();
        let (kind, relation) = if self.chance(40) { self.one(&leading) } else { self.one(&relations) };
        let (resource, subject) = (self.object(kind.name), self.one(relation.subjects));
        format!("{resource}#{}@{}", relation.name, self.object(subject))
    }

    /// Something that is asked: any permission or relation of any object, for anything.
    fn question(&mut self) -> String {
        let of_all = self.questions();
        of_all.choose(&mut self.0).unwrap().clone()
    }

    /// The same of every object of its kind.
    fn questions(&mut self) -> Vec<String> {
        loop {
            let kind = &SCHEMA[self.0.random_range(0..SCHEMA.len())];
            let names: Vec<_> = kind.relations.iter().map(|r| r.name).chain(kind.permissions.iter().map(|p| p.name)).collect();
            if names.is_empty() {
                continue;
            }
            let name = self.one(&names);
            let subject = if self.chance(60) { self.object("user") } else { self.anything() };
            return ids(kind.name).iter().map(|id| format!("{}:{id}#{name}@{subject}", kind.name)).collect();
        }
    }

    /// The same with one thing in it that is wrong.
    fn spoilt(&mut self, text: &str) -> String {
        let (resource, rest) = text.split_once('#').unwrap();
        let (name, subject) = rest.split_once('@').unwrap();
        match self.0.random_range(0..7) {
            0 => format!("folder:f1#{name}@{subject}"),
            1 => format!("{resource}#flying@{subject}"),
            2 => format!("{resource}#{name}@folder:f1"),
            3 => format!("{resource}.x#{name}@{subject}"),
            4 => format!("{resource}#{name}@user:ann.lee"),
            5 => format!("{resource}#{name}@user:*"),
            _ => format!("{resource}{}#{name}@{subject}", "i".repeat(1025)),
        }
    }

    /// A tuple with a relation that is a permission, or a subject that may not stand there.
    fn forbidden(&mut self) -> String {
        let (relation, subject) = self.one(&[
            ("read", "user"),
            ("membership", "user"),
            ("owner", "service_account"),
            ("owner", "account"),
            ("account", "platform"),
            ("sealed", "user"),
        ]);
        format!("{}#{relation}@{}", self.object("workspace"), self.object(subject))
    }

    fn filter(&mut self) -> String {
        let tuple = self.tuple();
        let (resource, rest) = tuple.split_once('#').unwrap();
        let (kind, id) = resource.split_once(':').unwrap();
        let (relation, subject) = rest.split_once('@').unwrap();
        let id = if self.chance(30) { "?" } else { id };
        let relation = if self.chance(30) { "?" } else { relation };
        let subject = if self.chance(50) { "?:?" } else { subject };
        format!("{kind}:{id}#{relation}@{subject}")
    }

    fn update(&mut self) -> String {
        let tuple = match self.0.random_range(0..100) {
            0..5 => self.forbidden(),
            5..7 => {
                let tuple = self.tuple();
                self.spoilt(&tuple)
            }
            _ => self.tuple(),
        };
        let how = self.one(&["=", "=", "=", "+", "-", "-"]);
        format!("{how}{tuple}")
    }

    fn write(&mut self) -> Act {
        let mut updates: Vec<_> = (0..self.0.random_range(1..7)).map(|_| self.update()).collect();
        if self.chance(5) {
            let again = self.one(&["=", "-"]);
            updates.push(format!("{again}{}", &updates[0][1..]));
        }
        let preconditions = (0..self.one(&[0, 0, 1, 2]))
            .map(|_| {
                let filter = self.filter();
                let filter = if self.chance(5) { self.spoilt(&filter) } else { filter };
                format!("{} {filter}", self.one(&["must", "never"]))
            })
            .collect();
        Act::Write(updates, preconditions)
    }

    /// What a seal may not give: a run is nobody.
    fn of_a_seal(&mut self) -> String {
        let kind = self.one(&["workspace", "account"]);
        format!("{}#{}@{}", self.object(kind), self.one(&["read", "administer"]), self.object("saga"))
    }

    fn lookup(&mut self) -> Act {
        let question = self.question();
        Act::Lookup(if self.chance(4) { self.spoilt_lookup(&question) } else { question })
    }

    /// As [`Universe::spoilt`], of what a lookup names: it has no resource's id.
    fn spoilt_lookup(&mut self, text: &str) -> String {
        let (resource, rest) = text.split_once('#').unwrap();
        let (name, subject) = rest.split_once('@').unwrap();
        match self.0.random_range(0..4) {
            0 => format!("folder:f1#{name}@{subject}"),
            1 => format!("{resource}#flying@{subject}"),
            2 => format!("{resource}#{name}@folder:f1"),
            _ => format!("{resource}#{name}@user:ann.lee"),
        }
    }
}

/// The same script for the same seed.
pub fn script(seed: u64, size: Size) -> Vec<Act> {
    let mut universe = Universe(StdRng::seed_from_u64(seed));
    let mut first: Vec<String> = (0..60).map(|_| format!("={}", universe.tuple())).collect();
    first.sort();
    first.dedup();
    let mut script = vec![Act::Write(first, Vec::new())];
    for _ in 0..size.rounds {
        script.extend((0..size.writes).map(|_| universe.write()));
        script.push(Act::Read(universe.filter()));
        let mut checks = Vec::with_capacity(size.checks);
        while checks.len() < size.checks {
            checks.extend(universe.questions());
            checks.push(universe.of_a_seal());
        }
        script.push(Act::Check(checks));
        let (sound, question) = (universe.question(), universe.question());
        script.push(Act::Check(vec![sound, universe.spoilt(&question)]));
        script.extend((0..size.lookups).map(|_| universe.lookup()));
    }
    script
}
