//! Commands that need no server: configuration and saga definitions, as a person types them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::{Command, Output};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(o: Output) -> Self {
        Self { code: o.status.code(), out: String::from_utf8(o.stdout).unwrap(), err: String::from_utf8(o.stderr).unwrap() }
    }
}

fn berth(arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap()
        .into()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn each_layer_goes_over_the_one_below() {
    let file = file("[worker]\nconcurrency = 5\nlease = \"20s\"\n[[regions]]\nname = \"eu\"\n");
    let path = file.path().to_str().unwrap();
    let said = berth(&["--config", path, "config", "check"], &[("BERTH_WORKER__CONCURRENCY", "7")]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("concurrency = 7\n"), "{}", said.out);
    assert!(said.out.contains("lease = \"20s\"\n"), "{}", said.out);
    assert!(said.out.contains("renew = \"3s\"\n"), "{}", said.out);
    assert!(said.out.contains("name = \"eu\"\n"), "{}", said.out);
    let named_by_variable = berth(&["config", "check"], &[("BERTH_CONFIG", path)]);
    assert!(named_by_variable.out.contains("concurrency = 5\n"), "{}", named_by_variable.out);
}

#[test]
fn what_config_check_prints_is_a_file_that_gives_the_same_settings() {
    let given = [("BERTH_DEV__SEED", "9"), ("BERTH_SERVER__TRUSTED_PROXIES", "[\"10.0.0.1\"]"), ("BERTH_DATA__DIR", "123")];
    let first = berth(&["config", "check"], &given);
    assert_eq!(first.code, Some(0), "{}", first.err);
    let file = file(&first.out);
    let second = berth(&["--config", file.path().to_str().unwrap(), "config", "check"], &[]);
    assert_eq!(first.out, second.out);
    assert!(first.out.contains("dir = \"123\""), "{}", first.out);
}

#[test]
fn an_unknown_key_or_variable_is_refused_by_name() {
    let file = file("[server]\nlisten = \"127.0.0.1:1\"\nlisten_on = \"x\"\n");
    let said = berth(&["--config", file.path().to_str().unwrap(), "config", "check"], &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("listen_on") && said.err.contains(file.path().to_str().unwrap()), "{}", said.err);

    let said = berth(&["config", "check"], &[("BERTH_SERVER__LISTENS", "127.0.0.1:1")]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("BERTH_SERVER__LISTENS is no setting of Berth; did you mean BERTH_SERVER__LISTEN?"), "{}", said.err);

    let said = berth(&["config", "check"], &[("BERTH_LISTEN", "127.0.0.1:1")]);
    assert_eq!(said.code, Some(1), "a section is missing");
}

#[test]
fn variables_of_a_shell_that_talks_to_berth_are_no_settings() {
    let said = berth(
        &["config", "check"],
        &[("BERTH_URL", "http://x"), ("BERTH_TOKEN", "t"), ("BERTH_ACCOUNT_ID", "a"), ("BERTH_TEST_POSTGRES_URL", "p")],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_its_place_and_what_would_do() {
    for (name, value, words) in [
        ("BERTH_SERVER__LISTEN", "nowhere", "`server.listen`"),
        ("BERTH_WORKER__LEASE", "10", "such as 10s"),
        ("BERTH_WORKER__RENEW", "9s", "less than half of `worker.lease`"),
        ("BERTH_DEV__TIME_SCALE", "2", "not between 0.001 and 1"),
        ("BERTH_DEV__BACKEND_FAIL_RATE", "1.5", "not between 0 and 1"),
        ("BERTH_LOG__FILTER", "a=b=c", "`log.filter`"),
        ("BERTH_LOG__FORMAT", "xml", "`log.format`"),
        ("BERTH_DATABASE__CONNECTIONS", "3", "`database.connections`"),
        ("BERTH_DATABASE__LOCK_TIMEOUT", "0s", "`database.lock_timeout`"),
        ("BERTH_DATABASE__POOLER", "session", "`database.pooler`"),
        ("BERTH_REGIONS", "[]", "at least one"),
        ("BERTH_REGIONS", "[{name=\"eu\", backend=\"snowflake\"}]", "it knows `local`"),
    ] {
        let said = berth(&["config", "check"], &[(name, value)]);
        assert_eq!(said.code, Some(1), "{name}={value}");
        assert!(said.err.contains(words), "{name}={value}: {}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
}

#[test]
fn credentials_of_the_exporter_are_hidden() {
    let said = berth(
        &["config", "check"],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"), ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2")],
    );
    assert!(said.out.contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"), "{}", said.out);
    assert!(said.out.contains("OTEL_EXPORTER_OTLP_HEADERS=(hidden)"), "{}", said.out);
    assert!(!said.out.contains("hunter2"));
}

#[test]
fn the_password_of_a_database_is_hidden_wherever_its_url_was_given() {
    let url = "postgres://berth:hunter2@db.example.com/berth?sslmode=verify-full";
    let settings = format!("[database]\nurl = \"{url}\"\ndirect_url = \"{url}\"\n");
    let file = file(&settings);
    for said in [
        berth(&["config", "check"], &[("BERTH_DATABASE__URL", url), ("BERTH_DATABASE__DIRECT_URL", url)]),
        berth(&["--config", file.path().to_str().unwrap(), "config", "check"], &[]),
    ] {
        assert_eq!(said.code, Some(0), "{}", said.err);
        for key in ["url", "direct_url"] {
            let line = format!("{key} = \"postgres://berth:(hidden)@db.example.com/berth?sslmode=verify-full\"\n");
            assert!(said.out.contains(&line), "{}", said.out);
        }
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"));
    }
}

#[test]
fn the_units_for_systemd_start_commands_that_there_are() {
    let mut started = Vec::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd")).unwrap() {
        let unit = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/berth ")).unwrap();
        let arguments: Vec<&str> = line.split(' ').chain(["--help"]).collect();
        let said = berth(&arguments, &[]);
        assert_eq!(said.code, Some(0), "{line}: {}", said.err);
        started.push(line.rsplit(' ').next().unwrap().to_owned());
        for (_, setting) in unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once("BERTH_")) {
            let (name, value) = setting.split_once('=').unwrap();
            let said = berth(&["config", "check"], &[(&format!("BERTH_{name}"), value)]);
            assert_eq!(said.code, Some(0), "{setting}: {}", said.err);
        }
    }
    started.sort_unstable();
    assert_eq!(started, ["serve", "work"]);
}

#[test]
fn sagas_are_listed_and_drawn() {
    let said = berth(&["sagas", "list"], &[]);
    assert!(said.out.contains("create-workspace v1") && said.out.contains("create-account v1"), "{}", said.out);
    let drawn = berth(&["sagas", "show", "create-workspace", "--format", "mermaid"], &[]);
    assert!(drawn.out.contains("flowchart") && drawn.out.contains("backend-prod"), "{}", drawn.out);
    let text = berth(&["sagas", "show", "create-workspace"], &[]);
    assert!(text.out.contains("drop-backend-workspace"), "{}", text.out);
    let unknown = berth(&["sagas", "show", "no-such"], &[]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("There are: apply-freezes, create-account, create-workspace, purge-workspace"), "{}", unknown.err);
}

#[test]
fn sagas_check_names_line_and_column_of_what_is_wrong() {
    assert_eq!(berth(&["sagas", "check"], &[]).code, Some(0));
    let broken = file("saga: x\nversion: 1\nstages:\n  - du: a\n");
    let said = berth(&["sagas", "check", broken.path().to_str().unwrap()], &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(".toml:") && said.err.contains("berth sagas check"), "{}", said.err);
}
