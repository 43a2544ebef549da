//! Tuples and checks as SpiceDB writes them.

use domain::permissions::{Check, Object, Relationship};

/// `workspace:w#owner@user:ann`, as SpiceDB writes it.
pub fn tuple(text: &str) -> Relationship {
    let object = |text: &str| {
        let (kind, id) = text.split_once(':').unwrap();
        Object::new(kind, id)
    };
    let (resource, rest) = text.split_once('#').unwrap();
    let (relation, subject) = rest.split_once('@').unwrap();
    Relationship::new(object(resource), relation, object(subject))
}

pub fn asked(text: &str) -> Check {
    let Relationship { resource, relation, subject } = tuple(text);
    Check { resource, permission: relation, subject }
}
