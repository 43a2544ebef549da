//! Where Berth is and who asks: `--profile NAME` of the configuration file, or `BERTH_URL` and `BERTH_TOKEN`.
//!
//! There is no flag for a token: command lines are visible to every user of the machine, and stay in the shell's history.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Toml};
use reqwest::Url;
use serde::Deserialize;

use super::exit::Exit;
use super::output::say;
use super::stop::Stop;
use crate::config::Environment;

/// What a request needs besides its path.
#[derive(Debug)]
pub struct Access {
    /// Without a slash at its end.
    pub url: String,
    pub token: Token,
    /// The account that names are looked up in where no other is named.
    pub account: Option<String>,
}

/// A bearer token that never shows.
#[derive(Clone, Deserialize)]
pub struct Token(String);

impl Token {
    pub fn reveal(&self) -> &str {
        self.0.trim()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: String,
    token: Token,
    account: Option<String>,
}

/// The profile used where nothing else is said.
const DEFAULT: &str = "default";

/// Finds out; a profile that is named wins over the environment as a whole, and that over the profile `default`.
///
/// # Errors
/// Neither is there, or what is there cannot be used; each says what to do.
pub fn find(named: Option<&str>, environment: &Environment) -> Result<Access, Stop> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let (url, token) = (set("BERTH_URL"), set("BERTH_TOKEN"));
    if let Some(name) = named {
        return match profile(name, environment)? {
            Found::Profile(access) => Ok(access),
            Found::Others(others) => {
                let file = shown(place(environment).as_deref());
                let there =
                    if others.is_empty() { format!("Write one into {file}.") } else { format!("{file} has: {}.", others.join(", ")) };
                Err(Stop::usage(format!("there is no profile called {name}"), there))
            }
        };
    }
    match (url, token) {
        (Some(url), Some(token)) => access(Profile { url, token: Token(token), account: set("BERTH_ACCOUNT_ID") }),
        (Some(_), None) => Err(Stop::usage("BERTH_URL is set, but BERTH_TOKEN is not", "Set it to your token, or use --profile NAME.")),
        (None, Some(_)) => {
            Err(Stop::usage("BERTH_TOKEN is set, but BERTH_URL is not", "Set it to Berth's address, such as https://berth.example.com."))
        }
        (None, None) => match profile(DEFAULT, environment)? {
            Found::Profile(access) => Ok(access),
            Found::Others(_) => Err(Stop::usage(
                "it is not known where Berth is, and who you are",
                format!(
                    "Set BERTH_URL and BERTH_TOKEN (`. berth-data/dev.env` does so for `berth dev`), or write a profile into {}:\n\n    [profiles.default]\n    url = \"https://berth.example.com\"\n    token = \"...\"\n",
                    shown(place(environment).as_deref())
                ),
            )),
        },
    }
}

/// The configuration file: `$XDG_CONFIG_HOME/berth/config.toml`, or below `~/.config`.
fn place(environment: &Environment) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| Path::new(value).is_absolute()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("berth/config.toml"))
}

fn shown(place: Option<&Path>) -> String {
    place.map_or_else(|| "$XDG_CONFIG_HOME/berth/config.toml".to_owned(), |place| place.display().to_string())
}

/// What the file has.
enum Found {
    Profile(Access),
    /// The names of those that it has instead.
    Others(Vec<String>),
}

fn profile(name: &str, environment: &Environment) -> Result<Found, Stop> {
    let Some(path) = place(environment) else { return Ok(Found::Others(Vec::new())) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Others(Vec::new())),
        Err(e) => return Err(Stop::usage(format!("cannot read {}: {e}", path.display()), "Correct the file's owner and mode.")),
    };
    let mut file: File = Figment::from(Toml::string(&text)).extract().map_err(|e| {
        Stop::usage(format!("{} cannot be used: {e}", path.display()), "A profile has `url` and `token`, and may have `account`.")
    })?;
    if let Ok(found) = std::fs::metadata(&path)
        && found.permissions().mode() & 0o077 != 0
    {
        say(&format!("berth: others can read the tokens in {0}: chmod 600 {0}\n", path.display()));
    }
    match file.profiles.remove(name) {
        Some(profile) => access(profile).map(Found::Profile),
        None => Ok(Found::Others(file.profiles.into_keys().collect())),
    }
}

fn access(profile: Profile) -> Result<Access, Stop> {
    let wrong =
        |why: &str| Stop::usage(format!("the address `{}` cannot be used: {why}", profile.url), "It looks like https://berth.example.com.");
    if !profile.url.contains("://") {
        return Err(wrong("it does not begin with http:// or https://"));
    }
    let url = Url::parse(profile.url.trim()).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has more than a host, a port and a path"));
    }
    let token = profile.token;
    if token.reveal().is_empty() || token.reveal().chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Stop::new(
            Exit::Usage,
            "the token has blanks or line breaks in it, or is empty",
            "Set BERTH_TOKEN to the token as it was given to you.",
        ));
    }
    Ok(Access { url: url.as_str().trim_end_matches('/').to_owned(), token, account: profile.account })
}
