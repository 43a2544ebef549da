//! Puts the layers on top of each other and checks the result.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::names::Name;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Config, DatabaseUrl, PermissionSystem, SECTIONS};

/// Variables of ours that are not settings: what `dev.env` sets for a shell, and what tests use.
const OTHER_VARIABLES: &[&str] = &["BERTH_URL", "BERTH_TOKEN", "BERTH_ACCOUNT_ID", "BERTH_CONFIG"];
const TEST_VARIABLES: &str = "BERTH_TEST_";

/// The process's environment, read once.
pub type Environment = BTreeMap<String, String>;

/// Flags of the command line: they win over everything.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub listen: Option<SocketAddr>,
    pub admin_listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    pub database_url: Option<DatabaseUrl>,
    pub runtime_role: Option<String>,
}

/// Settings that cannot be used; each finding names the setting, where it was given, and what would do.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n  {}\nSee docs/configuration.md, or run `berth config reference`.", .0.join("\n  "))]
pub struct ConfigError(Vec<String>);

/// Reads all layers.
///
/// # Errors
/// Everything that is wrong: an unreadable file, unknown keys and variables, values that do not fit.
pub fn load(file: Option<&Path>, environment: &Environment, overrides: &Overrides) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file.map(Path::to_path_buf).or_else(|| environment.get("BERTH_CONFIG").map(PathBuf::from)) {
        let text = std::fs::read_to_string(&path).map_err(|e| ConfigError(vec![format!("cannot read {}: {e}", path.display())]))?;
        figment = figment.merge(Named { inner: Toml::string(&text), name: path.display().to_string() });
    }
    figment = figment.merge(Variables::of(environment)?);
    let mut config: Config = figment.extract().map_err(|errors| ConfigError(errors.into_iter().map(|e| sentence(&e)).collect()))?;
    if let Some(listen) = overrides.listen {
        config.server.listen = listen;
    }
    if let Some(listen) = overrides.admin_listen {
        config.server.admin_listen = listen;
    }
    if let Some(dir) = &overrides.data_dir {
        config.data.dir.clone_from(dir);
    }
    if overrides.database_url.is_some() {
        config.database.url.clone_from(&overrides.database_url);
    }
    if overrides.runtime_role.is_some() {
        config.database.runtime_role.clone_from(&overrides.runtime_role);
    }
    let findings = check(&config);
    if findings.is_empty() { Ok(config) } else { Err(ConfigError(findings)) }
}

/// A provider under a name that people know.
struct Named<P> {
    inner: P,
    name: String,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.inner.data()
    }
}

/// Our variables as a provider. A setting that is text takes the variable as it is; others are read as TOML values.
struct Variables(Dict);

impl Variables {
    fn of(environment: &Environment) -> Result<Self, ConfigError> {
        let defaults = serde_json::to_value(Config::default()).map_err(|e| ConfigError(vec![e.to_string()]))?;
        let mut dict = Dict::new();
        let mut unknown = Vec::new();
        for (name, text) in environment {
            let Some(key) = name.strip_prefix("BERTH_") else { continue };
            if OTHER_VARIABLES.contains(&name.as_str()) || name.starts_with(TEST_VARIABLES) {
                continue;
            }
            let key = key.to_lowercase();
            if key == "regions" {
                dict.insert(key, parsed(text));
                continue;
            }
            let place = key.split_once("__").and_then(|(section, key)| Some((section, key, defaults.get(section)?.get(key)?)));
            let Some((section, key, default)) = place else {
                unknown.push(format!("the environment variable {name} is no setting of Berth{}", nearest(name)));
                continue;
            };
            let value = if default.is_string() || default.is_null() { Value::from(text.as_str()) } else { parsed(text) };
            if let Value::Dict(_, settings) = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new())) {
                settings.insert(key.to_owned(), value);
            }
        }
        if unknown.is_empty() { Ok(Self(dict)) } else { Err(ConfigError(unknown)) }
    }
}

fn parsed(text: &str) -> Value {
    match text.parse::<Value>() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment variable")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.0.clone())]))
    }
}

/// The variable of a setting.
pub fn variable(section: &str, key: &str) -> String {
    if section == "regions" {
        "BERTH_REGIONS".to_owned()
    } else if let Some((section, list)) = section.split_once('.') {
        format!("BERTH_{}__{}", section.to_uppercase(), list.to_uppercase())
    } else {
        format!("BERTH_{}__{}", section.to_uppercase(), key.to_uppercase())
    }
}

fn nearest(name: &str) -> String {
    let known = SECTIONS.iter().flat_map(|section| section.settings.iter().map(|setting| variable(section.key, setting.key)));
    known
        .map(|known| (distance(name, &known), known))
        .min()
        .filter(|(distance, _)| *distance <= 4)
        .map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let up = row[j + 1];
            row[j + 1] = (up + 1).min(row[j] + 1).min(diagonal + usize::from(x != *y));
            diagonal = up;
        }
    }
    row[b.len()]
}

fn sentence(error: &figment::Error) -> String {
    let path: Vec<&str> = error.path.iter().map(String::as_str).filter(|p| *p != "default").collect();
    let place = if path.is_empty() { String::new() } else { format!("`{}`: ", path.join(".")) };
    let source = error.metadata.as_ref().map_or_else(String::new, |m| match m.name.as_ref() {
        "environment variable" if path.len() >= 2 => format!(" (from {})", variable(path[0], path[1])),
        name => format!(" (from {name})"),
    });
    format!("{place}{}{source}", error.kind)
}

/// What a type alone does not tell.
fn check(config: &Config) -> Vec<String> {
    let mut findings = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            findings.push(text.to_owned());
        }
    };
    for (key, rate) in [
        ("backend_fail_rate", config.dev.backend_fail_rate),
        ("backend_hang_rate", config.dev.backend_hang_rate),
        ("backend_lose_reply_rate", config.dev.backend_lose_reply_rate),
    ] {
        must((0.0..=1.0).contains(&rate), &format!("`dev.{key}`: {rate} is not between 0 and 1"));
    }
    must(
        (0.001..=1.0).contains(&config.dev.time_scale),
        &format!("`dev.time_scale`: {} is not between 0.001 and 1", config.dev.time_scale),
    );
    must(config.worker.concurrency > 0, "`worker.concurrency`: at least one run must be worked on");
    must(config.worker.per_account != Some(0), "`worker.per_account`: at least one run of an account must be worked on");
    must(config.worker.per_backend != Some(0), "`worker.per_backend`: at least one attempt must be let to a backend");
    must(config.worker.renew.0 * 2 < config.worker.lease.0, "`worker.renew`: must be less than half of `worker.lease`");
    must(!config.worker.poll.0.is_zero(), "`worker.poll`: must not be zero");
    let rates = &config.rates;
    for (key, rate) in [
        ("principal", rates.principal),
        ("account", rates.account),
        ("failures_per_source", rates.failures_per_source),
        ("failures_per_credential", rates.failures_per_credential),
    ] {
        must(rate <= 1_000_000, &format!("`rates.{key}`: at most 1000000; 0 is any number"));
    }
    must(
        (1..=3).contains(&config.export.concurrent),
        "`export.concurrent`: 1 to 3 exports may run at once; the fourth connection is for all else",
    );
    must(!config.export.slow_reader_timeout.0.is_zero(), "`export.slow_reader_timeout`: must not be zero");
    let database = &config.database;
    must(
        database.connections >= config.export.concurrent + 2,
        "`database.connections`: exports hold `export.concurrent` of them; at least two more are needed for all else",
    );
    for (key, wait) in [
        ("connection_timeout", database.connection_timeout),
        ("lock_timeout", database.lock_timeout),
        ("statement_timeout", database.statement_timeout),
    ] {
        must(!wait.0.is_zero(), &format!("`database.{key}`: must not be zero"));
    }
    let permissions = &config.permissions;
    let keys = [permissions.key.is_some(), permissions.key_file.is_some()];
    match permissions.kind {
        PermissionSystem::Embedded => must(
            keys == [false, false] && permissions.endpoint.is_none() && permissions.ca_file.is_none(),
            "`permissions`: `endpoint`, `key`, `key_file` and `ca_file` are for `kind = \"spicedb\"`",
        ),
        PermissionSystem::SpiceDb => {
            must(permissions.endpoint.is_some(), "`permissions.endpoint`: `kind = \"spicedb\"` needs it");
            must(keys[0] != keys[1], "`permissions`: `kind = \"spicedb\"` needs one of `key` and `key_file`");
        }
    }
    let accounts = &config.accounts;
    if let Some(Err(invalid)) = accounts.default_workspace.as_deref().map(|name| Name::parse("", name)) {
        let why: Vec<&str> = invalid.iter().map(|i| i.detail.as_str()).collect();
        must(false, &format!("`accounts.default_workspace`: {}", why.join(" ")));
    }
    match &accounts.default_workspace_region {
        Some(region) => must(
            config.regions.iter().any(|known| known.name == *region),
            &format!("`accounts.default_workspace_region`: there is no region `{region}` in `regions`"),
        ),
        None => must(
            accounts.default_workspace.is_none() || config.regions.len() <= 1,
            "`accounts.default_workspace_region`: say which of the regions the default workspace goes to",
        ),
    }
    findings.extend(super::issuers::check(config));
    let mut must = |holds: bool, text: &str| {
        if !holds {
            findings.push(text.to_owned());
        }
    };
    must(!config.regions.is_empty(), "`regions`: at least one is needed");
    for (i, region) in config.regions.iter().enumerate() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        must(
            !region.name.is_empty() && region.name.len() <= 63 && region.name.chars().all(fits),
            &format!("`regions`: the name `{}` is not 1 to 63 of a-z, 0-9 and -", region.name),
        );
        must(region.backend == "local", &format!("`regions`: this build has no backend called `{}`; it knows `local`", region.backend));
        must(config.regions[..i].iter().all(|other| other.name != region.name), &format!("`regions`: `{}` is there twice", region.name));
    }
    if let Err(e) = config.log.filter.parse::<tracing_subscriber::EnvFilter>() {
        must(false, &format!("`log.filter`: {e}"));
    }
    findings
}
