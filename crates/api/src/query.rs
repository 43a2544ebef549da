//! The query string: every parameter that a handler knows is taken by name, and whatever is left over is refused.
//!
//! Violations are collected, so that a caller learns of all of them at once.

use axum::extract::FromRequestParts;
use domain::Invalid;
use http::HeaderValue;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use saga::Time;
use uuid::Uuid;

use crate::State;
use crate::audited::Attempt;
use crate::cursor::{self, Binding, Key};
use crate::problem::Problem;

/// The most items of a page.
pub const LIMIT_MAX: u32 = 1000;
/// The longest text that a filter takes, in characters.
const TEXT_MAX: usize = 200;

/// The parameters of a request, taken one by one and closed with [`Query::finish`].
#[derive(Debug)]
pub struct Query {
    path: String,
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<Invalid>,
    attempt: Attempt,
}

/// A finished query of a list: what the link to its next page is made of.
#[derive(Debug)]
pub struct Listing {
    path: String,
    pairs: Vec<(String, String)>,
    binding: Binding,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Self::parse(parts.uri.path(), parts.uri.query().unwrap_or_default());
        Ok(Self { attempt: Attempt::of(&parts.extensions), ..query })
    }
}

/// For handlers that take no parameter at all.
#[derive(Debug)]
pub struct NoQuery;

impl FromRequestParts<State> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        Query::from_request_parts(parts, state).await?.finish().map(|_| Self)
    }
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

impl Query {
    fn parse(path: &str, query: &str) -> Self {
        let mut read =
            Self { path: path.to_owned(), pairs: Vec::new(), known: Vec::new(), errors: Vec::new(), attempt: Attempt::default() };
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => read.pairs.push((name, value)),
                (name, _) => read.refuse(&name.unwrap_or_default(), "is not UTF-8"),
            }
        }
        read
    }

    fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(Invalid::new(&format!("?{name}"), detail));
    }

    /// The parameter's text, if it is given once.
    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = self.pairs.iter().filter(|(n, _)| n == name);
        let first = values.next().map(|(_, v)| v.clone());
        if values.next().is_some() {
            self.refuse(name, "is given more than once");
            return None;
        }
        first
    }

    /// A parameter that may be given up to `most` times, each read by `parse`.
    pub fn each<T>(&mut self, name: &'static str, most: usize, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        self.known.push(name);
        let texts: Vec<String> = self.pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect();
        if texts.len() > most {
            self.refuse(name, format!("is given more than {most} times"));
        }
        let values: Vec<T> = texts.iter().filter_map(|text| parse(text)).collect();
        if values.len() < texts.len() {
            self.refuse(name, format!("is not {expected}"));
        }
        values
    }

    /// A parameter that `parse` reads; `expected` says what would be right.
    pub fn parsed<T>(&mut self, name: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.take(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.refuse(name, format!("is not {expected}"));
        }
        value
    }

    pub fn id(&mut self, name: &'static str) -> Option<Uuid> {
        let id = self.parsed(name, "a UUID", parse_id)?;
        self.attempt.about(name, id);
        Some(id)
    }

    pub fn time(&mut self, name: &'static str) -> Option<Time> {
        self.parsed(name, "a time such as 2026-01-31T12:00:00Z", Time::parse)
    }

    pub fn flag(&mut self, name: &'static str) -> bool {
        self.parsed(name, "`true` or `false`", |t| t.parse().ok()).unwrap_or(false)
    }

    /// A free text without control characters.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let right = |t: &str| (1..=TEXT_MAX).contains(&t.chars().count()) && !t.chars().any(char::is_control);
        self.parsed(name, &format!("1 to {TEXT_MAX} characters without control characters"), |t| right(t).then(|| t.to_owned()))
    }

    pub fn limit(&mut self, default: u32) -> u32 {
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse().ok()).flatten();
        self.parsed("limit", &format!("a number from 1 to {LIMIT_MAX}"), |t| digits(t).filter(|n| (1..=LIMIT_MAX).contains(n)))
            .unwrap_or(default)
    }

    /// The id that the page starts after.
    pub fn after_id(&mut self) -> Option<Uuid> {
        match self.cursor() {
            Some(Key::Id(id)) => Some(id),
            Some(Key::Seq(_)) => {
                self.refuse("cursor", CURSOR_EXPECTED);
                None
            }
            None => None,
        }
    }

    /// The sequence number that the page starts after.
    pub fn after_seq(&mut self) -> Option<u64> {
        match self.cursor() {
            Some(Key::Seq(seq)) => Some(seq),
            Some(Key::Id(_)) => {
                self.refuse("cursor", CURSOR_EXPECTED);
                None
            }
            None => None,
        }
    }

    fn cursor(&mut self) -> Option<Key> {
        let text = self.take("cursor")?;
        let key = cursor::decode(&text, self.binding());
        if key.is_none() {
            self.refuse("cursor", CURSOR_EXPECTED);
        }
        key
    }

    fn binding(&self) -> Binding {
        let filters: Vec<_> = self.pairs.iter().filter(|(n, _)| n != "limit" && n != "cursor").cloned().collect();
        Binding::new(&self.path, &filters)
    }

    /// # Errors
    /// Everything that was wrong with the query, parameters that nobody asked for included.
    pub fn finish(mut self) -> Result<Listing, Problem> {
        let mut unknown: Vec<String> = self.pairs.iter().map(|(n, _)| n.clone()).filter(|n| !self.known.contains(&n.as_str())).collect();
        unknown.sort();
        unknown.dedup();
        for name in unknown {
            let detail = if self.known.is_empty() {
                "is not known; no parameter is taken here".to_owned()
            } else {
                format!("is not known; there are {}", self.known.join(", "))
            };
            self.refuse(&name, detail);
        }
        if self.errors.is_empty() {
            Ok(Listing { binding: self.binding(), path: self.path, pairs: self.pairs })
        } else {
            Err(Problem::invalid_request(self.errors))
        }
    }
}

const CURSOR_EXPECTED: &str = "is not a cursor of this list with these filters; take it from the `Link` header of the page before";

/// A uuid in its hyphenated form only, so that one resource has one path.
#[must_use]
pub fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

impl Listing {
    /// The value of the `Link` header that leads to the page after `key`.
    #[must_use]
    pub fn next(&self, key: Key) -> Option<HeaderValue> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(n, _)| n != "cursor"));
        query.append_pair("cursor", &cursor::encode(key, self.binding));
        HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", self.path, query.finish())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(problem: &Problem) -> Vec<String> {
        problem.body("r")["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn all_violations_are_told_at_once() {
        let mut query = Query::parse("/v1/x", "limit=0&account_id=7&dry_run=yes&what=1&name=%00&name2=%ff&since=soon");
        query.limit(100);
        query.id("account_id");
        query.flag("dry_run");
        query.text("name");
        query.time("since");
        let problem = query.finish().unwrap_err();
        assert_eq!(pointers(&problem), ["?name2", "?limit", "?account_id", "?dry_run", "?name", "?since", "?what"]);
    }

    #[test]
    fn a_parameter_may_not_be_given_twice() {
        let mut query = Query::parse("/v1/x", "limit=1&limit=2");
        assert_eq!(query.limit(100), 100);
        assert_eq!(pointers(&query.finish().unwrap_err()), ["?limit"]);
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        for text in ["0", "1001", "-1", "1.5", "", "9999999999999", "+5", "0x10"] {
            let mut query = Query::parse("/v1/x", &format!("limit={text}"));
            query.limit(100);
            assert!(query.finish().is_err(), "{text}");
        }
        assert_eq!(Query::parse("/v1/x", "limit=1000").limit(100), 1000);
        assert_eq!(Query::parse("/v1/x", "").limit(100), 100);
    }

    #[test]
    fn the_link_to_the_next_page_keeps_the_query_and_is_understood_by_the_next_request() {
        let mut query = Query::parse("/v1/x", "limit=2&name=a+b%26%C3%A9");
        query.limit(100);
        assert_eq!(query.text("name").unwrap(), "a b&é");
        let key = Key::Id(Uuid::from_u128(5));
        let link = query.finish().unwrap().next(key).unwrap();
        let target = link.to_str().unwrap().strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
        let (path, text) = target.split_once('?').unwrap();
        let mut next = Query::parse(path, text);
        assert_eq!((next.limit(100), next.text("name").as_deref(), next.after_id()), (2, Some("a b&é"), Some(Uuid::from_u128(5))));
        assert!(next.finish().is_ok());
    }

    #[test]
    fn a_cursor_with_another_filter_is_refused() {
        let mut query = Query::parse("/v1/x", "name=a");
        query.text("name");
        let link = query.finish().unwrap().next(Key::Seq(5)).unwrap();
        let other = link.to_str().unwrap().replace("name=a", "name=b");
        let text = other.split_once('?').unwrap().1.split_once('>').unwrap().0.to_owned();
        let mut next = Query::parse("/v1/x", &text);
        next.text("name");
        assert_eq!(next.after_seq(), None);
        assert_eq!(pointers(&next.finish().unwrap_err()), ["?cursor"]);
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert!(parse_id("00000000-0000-0000-0000-000000000007").is_some());
        for text in ["00000000000000000000000000000007", "{00000000-0000-0000-0000-000000000007}", "7", "", "é"] {
            assert!(parse_id(text).is_none(), "{text}");
        }
    }
}
