//! Who may depend on whom. Cargo stops cycles; these tables stop shortcuts.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::{none, root};

/// Crates of the house: from, to, why. What is not here is not allowed; what is here and not used is to be taken out.
const EDGES: &[(&str, &str, &str)] = &[
    ("api", "domain", "handlers call use cases and word their answers"),
    ("api", "saga", "a run's state is shown as the engine folds it"),
    ("berth", "api", "wiring: serves the routes"),
    ("berth", "domain", "wiring: bundles the ports; first start and tokens are use of the same ports"),
    ("berth", "providers", "wiring: the backends and the permission system"),
    ("berth", "saga", "wiring: loads the definitions, runs the worker"),
    ("berth", "store", "wiring: opens the database"),
    ("domain", "saga", "steps are the engine's `Step`"),
    ("providers", "domain", "implements its outgoing ports"),
    ("providers", "saga", "faults, run ids and stop tokens are the engine's"),
    ("store", "domain", "implements its storing ports"),
    ("store", "saga", "implements the engine's `Runs`"),
    ("testkit", "domain", "fakes and drills speak its ports"),
    ("testkit", "providers", "drills check permissions with the embedded evaluator; workers are killed at work on the local backend"),
    ("testkit", "saga", "drills run the engine"),
    ("testkit", "store", "opens stores on fresh databases; nothing but tests uses testkit"),
];

/// The same for tests only.
const TEST_EDGES: &[(&str, &str, &str)] = &[
    ("api", "providers", "the routes are tested over the embedded permissions"),
    ("api", "store", "drift is made by hand, in rows that no use case changes"),
    ("api", "testkit", "a manual clock and scripted ports"),
    ("berth", "testkit", "drives the real process"),
    ("providers", "testkit", "a real SpiceDB to be held against"),
    ("store", "testkit", "conformance on both databases"),
];

/// Crates of others that may not be used everywhere: name, by whom (tests included), why.
const KEPT: &[(&str, &[&str], &str)] = &[
    ("axum", &["api", "berth"], "HTTP is spoken in `api`; `berth` has the admin listener"),
    ("utoipa", &["api"], "the contract is made from the handlers"),
    ("utoipa-axum", &["api"], "the contract is made from the handlers"),
    ("tower-http", &["api"], "HTTP is spoken in `api`"),
    ("sqlx", &["store"], "our database is behind `store`"),
    ("tonic", &["providers"], "SpiceDB is called in `providers`; nobody else speaks gRPC"),
    ("tonic-types", &["providers"], "SpiceDB is called in `providers`; nobody else speaks gRPC"),
    ("spicedb-grpc-tonic", &["providers"], "no generated type leaves the adapter"),
    ("h2", &["providers"], "SpiceDB's farewells are told from outages in the adapter"),
    ("jsonwebtoken", &["api", "berth"], "tokens are verified in `api`, issued by the binary"),
    ("clap", &["berth"], "the command line is the binary's"),
    ("clap_complete", &["berth"], "the command line is the binary's"),
    ("clap_mangen", &["berth"], "the command line is the binary's"),
    ("comfy-table", &["berth"], "the command line is the binary's"),
    ("indicatif", &["berth"], "the command line is the binary's"),
    (
        "reqwest",
        &["berth", "providers"],
        "`berth` is also the command line of those who use the HTTP API; outbound calls are made in `providers`",
    ),
    ("figment", &["berth"], "configuration is read once, by the binary"),
    ("opentelemetry", &["berth"], "telemetry is set up once, by the binary"),
    ("opentelemetry-otlp", &["berth"], "telemetry is set up once, by the binary"),
    ("opentelemetry_sdk", &["berth"], "telemetry is set up once, by the binary"),
    ("tracing-opentelemetry", &["berth"], "telemetry is set up once, by the binary"),
    ("tracing-subscriber", &["berth", "testkit"], "telemetry is set up once, by the binary; tests gather what is logged"),
    ("metrics-exporter-prometheus", &["berth"], "telemetry is set up once, by the binary"),
];

/// What a crate may never use, tests apart: crate, name, why.
const BANNED: &[(&str, &str, &str)] = &[
    ("domain", "tokio", "rules and use cases do no IO and hold no clock"),
    ("domain", "tokio-util", "rules and use cases do no IO and hold no clock"),
    ("domain", "time", "time comes in through ports as `saga::Time`"),
    ("domain", "reqwest", "outbound calls are made in `providers`"),
    ("domain", "http", "rules know no HTTP"),
    ("api", "reqwest", "outbound calls are made in `providers`"),
    ("store", "reqwest", "outbound calls are made in `providers`"),
];

/// `(from, to)`.
type Edges = BTreeSet<(String, String)>;

/// Every declared dependency; those for tests apart.
fn declared() -> (Edges, Edges) {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().expect("cargo metadata");
    let (mut used, mut tested) = (BTreeSet::new(), BTreeSet::new());
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let edge = (package.name.to_string(), dependency.name.clone());
            if dependency.kind == DependencyKind::Development {
                tested.insert(edge)
            } else {
                used.insert(edge)
            };
        }
    }
    (used, tested)
}

fn crates(used: &Edges) -> BTreeSet<String> {
    used.iter().map(|(from, _)| from.clone()).collect()
}

fn compare(table: &[(&str, &str, &str)], declared: &Edges, house: &BTreeSet<String>) -> Vec<String> {
    let allowed: Edges = table.iter().map(|(f, t, _)| ((*f).to_owned(), (*t).to_owned())).collect();
    let inside: BTreeSet<_> = declared.iter().filter(|(_, to)| house.contains(to)).cloned().collect();
    let mut findings: Vec<String> = inside.difference(&allowed).map(|(f, t)| format!("{f} uses {t}: not in the table")).collect();
    findings.extend(allowed.difference(&inside).map(|(f, t)| format!("{f} does not use {t} (any more): take it out of the table")));
    findings
}

#[test]
fn crates_use_only_the_crates_that_the_table_allows() {
    let (used, _) = declared();
    none("an edge goes up, sideways or nowhere", &compare(EDGES, &used, &crates(&used)));
}

#[test]
fn tests_use_only_the_crates_that_the_table_allows() {
    let (used, mut tested) = declared();
    tested.retain(|edge| !used.contains(edge));
    none("a test's edge is not in the table", &compare(TEST_EDGES, &tested, &crates(&used)));
}

#[test]
fn drivers_and_frameworks_stay_where_they_belong() {
    let (used, tested) = declared();
    let findings: Vec<String> = used
        .union(&tested)
        .filter_map(|(from, to)| {
            let (_, by, why) = KEPT.iter().find(|(name, _, _)| name == to)?;
            (!by.contains(&from.as_str())).then(|| format!("{from} uses {to}, which is for {}: {why}", by.join(", ")))
        })
        .collect();
    none("a library is used outside its place", &findings);
}

#[test]
fn banned_libraries_are_not_used() {
    let (used, _) = declared();
    let findings: Vec<String> = BANNED
        .iter()
        .filter(|(from, to, _)| used.contains(&((*from).to_owned(), (*to).to_owned())))
        .map(|(from, to, why)| format!("{from} uses {to}: {why}"))
        .collect();
    none("a library is banned there", &findings);
}

#[test]
fn every_row_of_the_tables_gives_a_reason() {
    let reasons = EDGES.iter().chain(TEST_EDGES).chain(BANNED).map(|r| r.2).chain(KEPT.iter().map(|r| r.2));
    assert!(reasons.into_iter().all(|why| why.len() > 10));
}

/// What a caller of the HTTP API may not look at: it would know more than the API tells.
const BEHIND_THE_API: &[&str] = &["store::", "providers::", "domain::ports", "domain::Berth", "api::"];

#[test]
fn the_command_line_uses_the_http_api_only() {
    // `figment::providers::` and `restore::` are other words.
    let begins = |text: &str, at: usize| text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
    let mut findings = Vec::new();
    for path in crate::files_below("crates/berth/src/cli", &["rs"]) {
        let text = crate::read(&path);
        for word in BEHIND_THE_API.iter().filter(|word| text.match_indices(**word).any(|(at, _)| begins(&text, at))) {
            findings.push(format!("{path} uses {word}"));
        }
    }
    none("the command line looks behind the API", &findings);
}
