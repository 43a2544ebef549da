//! The URL of a database, whose password is never shown: not by `berth config check`, nor in any message.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

const HIDDEN: &str = "(hidden)";

impl DatabaseUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// With the password in it: for the driver only.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    /// Whatever may be a password is hidden, also where the URL is malformed: everything from the first colon of the user's part to
    /// the last at sign, and the query parameter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(HIDDEN) };
        let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
        write!(f, "{scheme}://")?;
        match user.split_once(':') {
            Some((name, _)) => write!(f, "{name}:{HIDDEN}@")?,
            None if user.is_empty() => {}
            None => write!(f, "{user}@")?,
        }
        let (place, query) = place.split_once('?').map_or((place, ""), |(place, query)| (place, query));
        f.write_str(place)?;
        for (i, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            f.write_str(if i == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) if name.to_lowercase().contains("pass") => write!(f, "{name}={HIDDEN}")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown_wherever_it_stands() {
        for (url, shown) in [
            ("postgres://berth:hunter2@db:5432/berth", "postgres://berth:(hidden)@db:5432/berth"),
            ("postgres://berth:hun:ter2@db/berth?sslmode=verify-full", "postgres://berth:(hidden)@db/berth?sslmode=verify-full"),
            ("postgres://berth:hunt@er/hunter2@db/berth", "postgres://berth:(hidden)@db/berth"),
            ("postgres://berth@db/berth?password=hunter2&sslmode=require", "postgres://berth@db/berth?password=(hidden)&sslmode=require"),
            ("postgres:///berth?host=/run/postgresql", "postgres:///berth?host=/run/postgresql"),
            ("host=db password=hunter2", "(hidden)"),
        ] {
            let url = DatabaseUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }
}
