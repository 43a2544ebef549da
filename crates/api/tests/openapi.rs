//! The committed `openapi.yaml` is what the handlers say.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "UPDATE=1 is how a person asks this test to write the file")]
fn the_committed_document_is_the_one_that_the_handlers_make() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.yaml");
    let made = api::openapi_yaml();
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&file, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let line = committed.lines().zip(made.lines()).position(|(a, b)| a != b).map_or(0, |n| n + 1);
    assert!(
        committed == made,
        "openapi.yaml is not what the handlers say (first at line {line}). Write it anew with `UPDATE=1 cargo test -p api --test openapi`, and commit it."
    );
}
