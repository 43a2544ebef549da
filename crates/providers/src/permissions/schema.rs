//! The permission schema as a constant table: the same as `deploy/spicedb/schema.zed`, which a test holds it to.
//!
//! Unions and arrows only. Every name that the evaluator works with comes out of this table, so that an unknown one is
//! found where a request comes in.

/// A type of object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub name: &'static str,
    pub relations: &'static [Relation],
    pub permissions: &'static [Permission],
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relation {
    pub name: &'static str,
    /// The types that may stand at a tuple's right-hand side.
    pub subjects: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Permission {
    pub name: &'static str,
    pub expression: Expression,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Expression {
    /// Whoever stands in a tuple of this relation of the same object.
    Relation(&'static str),
    /// Whoever has this other permission on the same object.
    Permission(&'static str),
    /// Whoever has the permission on an object that the relation leads to.
    Arrow {
        relation: &'static str,
        permission: &'static str,
    },
    Union(&'static [Expression]),
}

use Expression::{Arrow, Union};

const fn relation(name: &'static str, subjects: &'static [&'static str]) -> Relation {
    Relation { name, subjects }
}

const fn permission(name: &'static str, expression: Expression) -> Permission {
    Permission { name, expression }
}

const fn arrow(relation: &'static str, permission: &'static str) -> Expression {
    Arrow { relation, permission }
}

const OWNER: Expression = Expression::Relation("owner");
const ADMIN: Expression = Expression::Relation("admin");
const MEMBER: Expression = Expression::Relation("member");
const VIEWER: Expression = Expression::Relation("viewer");
const OPERATOR: Expression = Expression::Relation("operator");
const AUDITOR: Expression = Expression::Relation("auditor");
const ANYBODY: &[&str] = &["user", "service_account"];

pub(super) const SCHEMA: &[Type] = &[
    Type { name: "user", relations: &[], permissions: &[] },
    Type { name: "saga", relations: &[], permissions: &[] },
    Type {
        name: "service_account",
        relations: &[relation("account", &["account"])],
        permissions: &[permission("administer", arrow("account", "administer"))],
    },
    Type {
        name: "platform",
        relations: &[relation("operator", ANYBODY), relation("auditor", ANYBODY)],
        permissions: &[permission("administer", OPERATOR), permission("read", Union(&[OPERATOR, AUDITOR]))],
    },
    Type {
        name: "account",
        relations: &[
            relation("platform", &["platform"]),
            relation("owner", &["user"]),
            relation("admin", ANYBODY),
            relation("member", ANYBODY),
            relation("sealed", &["saga"]),
        ],
        permissions: &[
            permission("administer", Union(&[OWNER, ADMIN, arrow("platform", "administer")])),
            permission("read", Union(&[OWNER, ADMIN, MEMBER, arrow("platform", "read")])),
            permission("read_workspaces", Union(&[OWNER, ADMIN, arrow("platform", "read")])),
        ],
    },
    Type {
        name: "workspace",
        relations: &[
            relation("account", &["account"]),
            relation("owner", &["user"]),
            relation("admin", ANYBODY),
            relation("member", ANYBODY),
            relation("viewer", ANYBODY),
            relation("sealed", &["saga"]),
        ],
        permissions: &[
            permission("administer", Union(&[OWNER, ADMIN, arrow("account", "administer")])),
            permission("write", Union(&[Expression::Permission("administer"), MEMBER])),
            permission("read", Union(&[OWNER, ADMIN, MEMBER, VIEWER, arrow("account", "read_workspaces")])),
            permission("membership", Union(&[OWNER, ADMIN, MEMBER, VIEWER])),
        ],
    },
    Type {
        name: "environment",
        relations: &[relation("workspace", &["workspace"])],
        permissions: &[
            permission("administer", arrow("workspace", "administer")),
            permission("write", arrow("workspace", "write")),
            permission("read", arrow("workspace", "read")),
        ],
    },
];

/// What a name stands for on a type.
pub(super) enum Item {
    Relation(&'static Relation),
    Permission(&'static Permission),
}

impl Item {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relation(r) => r.name,
            Self::Permission(p) => p.name,
        }
    }
}

/// A table of types; there is one, and tests that put another in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema(pub &'static [Type]);

pub(super) const BERTH: Schema = Schema(SCHEMA);

impl Schema {
    pub fn find(self, kind: &str) -> Option<&'static Type> {
        self.0.iter().find(|t| t.name == kind)
    }
}

impl Type {
    pub fn relation(&self, name: &str) -> Option<&'static Relation> {
        self.relations.iter().find(|r| r.name == name)
    }

    pub fn item(&self, name: &str) -> Option<Item> {
        let relation = self.relation(name).map(Item::Relation);
        relation.or_else(|| self.permissions.iter().find(|p| p.name == name).map(Item::Permission))
    }
}

impl Expression {
    /// This expression's terms, unions opened up.
    pub fn terms(&'static self) -> Vec<&'static Expression> {
        match self {
            Union(terms) => terms.iter().flat_map(Expression::terms).collect(),
            term => vec![term],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const FILE: &str = include_str!("../../../../deploy/spicedb/schema.zed");

    /// The file's statements, one a line, comments and white space gone.
    fn statements(file: &str) -> String {
        let mut out = String::new();
        for line in file.lines() {
            let line = line.split("//").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            if !line.is_empty() {
                writeln!(out, "{line}").unwrap();
            }
        }
        out
    }

    fn written(expression: &Expression) -> String {
        match expression {
            Expression::Relation(name) | Expression::Permission(name) => (*name).to_owned(),
            Arrow { relation, permission } => format!("{relation}->{permission}"),
            Union(terms) => terms.iter().map(written).collect::<Vec<_>>().join(" + "),
        }
    }

    #[test]
    fn the_table_and_the_schema_file_say_the_same() {
        let mut table = String::new();
        for t in SCHEMA {
            if t.relations.is_empty() && t.permissions.is_empty() {
                writeln!(table, "definition {} {{}}", t.name).unwrap();
                continue;
            }
            writeln!(table, "definition {} {{", t.name).unwrap();
            for r in t.relations {
                writeln!(table, "relation {}: {}", r.name, r.subjects.join(" | ")).unwrap();
            }
            for p in t.permissions {
                writeln!(table, "permission {} = {}", p.name, written(&p.expression)).unwrap();
            }
            writeln!(table, "}}").unwrap();
        }
        assert_eq!(table, statements(FILE));
    }

    #[test]
    fn every_name_that_the_table_uses_is_one_that_it_defines_as_such() {
        for t in SCHEMA {
            for subject in t.relations.iter().flat_map(|r| r.subjects) {
                assert!(BERTH.find(subject).is_some(), "{}: no type {subject}", t.name);
            }
            for p in t.permissions {
                for term in p.expression.terms() {
                    let sound = match term {
                        Expression::Relation(name) => t.relation(name).is_some(),
                        Expression::Permission(name) => matches!(t.item(name), Some(Item::Permission(_))),
                        Arrow { relation, permission } => t
                            .relation(relation)
                            .is_some_and(|r| r.subjects.iter().all(|s| BERTH.find(s).and_then(|s| s.item(permission)).is_some())),
                        Union(_) => false,
                    };
                    assert!(sound, "{}#{}: {term:?}", t.name, p.name);
                }
            }
        }
    }
}
