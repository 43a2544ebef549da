//! Both databases have the same migrations, under the same names; `store` compares what they make.

use std::collections::BTreeSet;

use crate::files_below;

fn names(database: &str) -> BTreeSet<String> {
    let folder = format!("migrations/{database}");
    files_below(&folder, &["sql"]).into_iter().map(|path| path[folder.len() + 1..].to_owned()).collect()
}

#[test]
fn both_databases_have_migrations_of_the_same_names() {
    let (postgres, sqlite) = (names("postgres"), names("sqlite"));
    assert_eq!(postgres, sqlite);
    assert!(!postgres.is_empty(), "there are no migrations at all");
}
