//! Request bodies: read within a size and a time, then taken apart field by field.
//!
//! All violations of the documented shape are collected with their JSON pointers. A field that nobody takes is refused,
//! and so is one that is given twice, which most parsers pass over in silence.

mod shapes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use domain::Invalid;
use futures::StreamExt as _;
use http::{HeaderMap, header};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use uuid::Uuid;

use crate::State;
use crate::audited::Attempt;
use crate::problem::{Code, Problem};
use crate::query::parse_id;

/// How much of a body that is too large is read and thrown away, so that its sender can read the answer.
const DISCARD_MAX: usize = 8 * 1024 * 1024;

/// A JSON object, its fields not looked at yet, with the bytes it was read from.
#[derive(Debug)]
pub struct JsonBody {
    pub raw: Bytes,
    fields: Object,
    attempt: Attempt,
}

/// Field names may repeat here: repetition is a violation to report, not to resolve.
#[derive(Debug, Default)]
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl FromRequest<State> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let attempt = Attempt::of(&parts.extensions);
        let raw = read(body, &parts.headers, state.limits.body_bytes, state.limits.body_timeout).await?;
        if raw.is_empty() {
            return Ok(Self { raw, fields: Object::default(), attempt });
        }
        if !is_json(&parts.headers) {
            return Err(Problem::of(Code::UnsupportedMediaType));
        }
        let text = std::str::from_utf8(&raw)
            .map_err(|e| Problem::new(Code::MalformedJson, format!("The body is not UTF-8 from byte {} on.", e.valid_up_to())))?;
        let fields = serde_json::from_str(text).map_err(|e| {
            if e.is_data() {
                Problem::invalid_request(vec![Invalid::new("", "is not a JSON object")])
            } else {
                Problem::new(Code::MalformedJson, format!("The body is not JSON: line {}, column {}.", e.line(), e.column()))
            }
        })?;
        Ok(Self { raw, fields, attempt })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|p| p.to_ascii_lowercase().strip_prefix("charset=").map(|c| c.trim_matches('"').to_owned()));
    essence.eq_ignore_ascii_case("application/json") && charset.is_none_or(|c| c == "utf-8")
}

async fn read(body: Body, headers: &HeaderMap, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("The body is larger than {limit} bytes. {}", Code::BodyTooLarge.help()));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    let mut stream = body.into_data_stream();
    let reading = async {
        if announced.is_some_and(|n| n > limit) {
            discard(&mut stream).await;
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            // The client went away or broke the framing; nobody reads this answer.
            let chunk = chunk.map_err(|_| Problem::new(Code::InvalidRequest, "The body broke off."))?;
            if whole.len() + chunk.len() > limit {
                discard(&mut stream).await;
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(patience, reading).await.unwrap_or_else(|_| Err(Problem::of(Code::RequestTimeout)))
}

async fn discard(stream: &mut BodyDataStream) {
    let mut left = DISCARD_MAX;
    while let Some(Ok(chunk)) = stream.next().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
}

/// The fields of a body, taken one by one and closed with [`Fields::finish`].
#[derive(Debug)]
pub struct Fields {
    left: Vec<(String, Value)>,
    known: Vec<&'static str>,
    errors: Vec<Invalid>,
    attempt: Attempt,
    /// It names a workspace that the token is not for.
    strayed: bool,
}

impl JsonBody {
    #[must_use]
    pub fn fields(self) -> Fields {
        Fields { left: self.fields.0, known: Vec::new(), errors: Vec::new(), attempt: self.attempt, strayed: false }
    }
}

/// A part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl Fields {
    fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.refuse_at(&format!("/{}", escaped(name)), detail);
    }

    fn refuse_at(&mut self, pointer: &str, detail: impl Into<String>) {
        self.errors.push(Invalid::new(pointer, detail));
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let mut values = self.left.extract_if(.., |(n, _)| n == name).map(|(_, v)| v);
        let first = values.next();
        if values.count() > 0 {
            self.refuse(name, "is given more than once");
            return None;
        }
        first
    }

    /// The field's text, if it is given; `null` is not a text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        if let Value::String(text) = self.take(name)? {
            return Some(text);
        }
        self.refuse(name, "is not a string");
        None
    }

    /// The field's truth, if it is given.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        if let Value::Bool(flag) = self.take(name)? {
            return Some(flag);
        }
        self.refuse(name, "is not `true` or `false`");
        None
    }

    /// A text without which there is no request; empty, and refused by [`Fields::finish`], if it is missing.
    pub fn required_text(&mut self, name: &'static str) -> String {
        self.require(name);
        self.text(name).unwrap_or_default()
    }

    /// An id, if it is given.
    pub fn id(&mut self, name: &'static str) -> Option<Uuid> {
        let text = self.text(name)?;
        let Some(id) = parse_id(&text) else {
            self.refuse(name, "is not a UUID");
            return None;
        };
        self.attempt.about(name, id);
        self.strayed |= self.attempt.strays(name, id);
        Some(id)
    }

    /// An id without which there is no request; nil, and refused by [`Fields::finish`], if it is missing.
    pub fn required_id(&mut self, name: &'static str) -> Uuid {
        self.require(name);
        self.id(name).unwrap_or_default()
    }

    /// As [`Fields::word`], where there is no request without it.
    pub fn required_word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.require(name);
        self.word(name, words)
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(w, _)| *w == text).map(|(_, t)| *t);
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(w, _)| format!("`{w}`")).collect();
            self.refuse(name, format!("is not one of {}", words.join(", ")));
        }
        found
    }

    /// An object of texts; `null` stands for a text that is to go, and is handed on as `None`.
    pub fn texts(&mut self, name: &'static str) -> Option<BTreeMap<String, Option<String>>> {
        let Value::Object(entries) = self.take(name)? else {
            self.refuse(name, "is not an object");
            return None;
        };
        let mut texts = BTreeMap::new();
        for (key, value) in entries {
            let text = match value {
                Value::String(text) => Some(text),
                Value::Null => None,
                _ => {
                    let pointer = format!("/{name}/{}", escaped(&key));
                    self.errors.push(Invalid::new(&pointer, "is not a string"));
                    continue;
                }
            };
            texts.insert(key, text);
        }
        Some(texts)
    }

    /// As [`Fields::texts`], where there is nothing yet that could go.
    pub fn new_texts(&mut self, name: &'static str) -> Option<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for (key, text) in self.texts(name)? {
            match text {
                Some(text) => drop(texts.insert(key, text)),
                None => self.errors.push(Invalid::new(&format!("/{name}/{}", escaped(&key)), "is not a string")),
            }
        }
        Some(texts)
    }

    /// Refuses a body that says nothing.
    pub fn require_any(&mut self) {
        if self.left.is_empty() {
            self.errors.push(Invalid::new("", "has no field; give at least one"));
        }
    }

    fn require(&mut self, name: &'static str) {
        if !self.left.iter().any(|(n, _)| n == name) {
            self.refuse(name, "is missing");
        }
    }

    /// # Errors
    /// Everything that was wrong with the body's shape, fields that nobody asked for included.
    pub fn finish(self) -> Result<(), Problem> {
        if self.strayed {
            return Err(crate::scope::refused());
        }
        let errors = self.closed();
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid_request(errors)) }
    }

    fn closed(mut self) -> Vec<Invalid> {
        let mut unknown: Vec<String> = self.left.iter().map(|(n, _)| n.clone()).collect();
        unknown.sort();
        unknown.dedup();
        for name in unknown {
            let known = self.known.join(", ");
            self.refuse(&name, format!("is not known; there are {known}"));
        }
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        JsonBody { raw: Bytes::new(), fields: serde_json::from_str(text).unwrap(), attempt: Attempt::default() }.fields()
    }

    #[test]
    fn all_violations_are_told_at_once_with_pointers() {
        let mut body = fields(r#"{"id": 1, "name": null, "mode": "x", "a/b~": 1, "slug": "a", "slug": "b"}"#);
        body.required_id("id");
        body.required_text("name");
        body.required_text("region");
        body.word("mode", &[("hold", 1)]);
        body.text("slug");
        let problem = body.finish().unwrap_err().body("r");
        let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["/id", "/name", "/region", "/mode", "/slug", "/a~1b~0"]);
    }

    #[test]
    fn what_is_right_is_taken() {
        let mut body = fields(r#"{"id": "00000000-0000-0000-0000-000000000007", "name": "نص 🚢", "mode": "hold"}"#);
        assert_eq!(body.required_id("id"), Uuid::from_u128(7));
        assert_eq!(body.required_text("name"), "نص 🚢");
        assert_eq!(body.word("mode", &[("hold", 1)]), Some(1));
        assert_eq!(body.text("slug"), None);
        assert!(body.finish().is_ok());
    }

    #[test]
    fn texts_may_be_null_where_something_can_go_and_nothing_else() {
        let mut body = fields(r#"{"labels": {"a": "1", "b": null}, "on": true}"#);
        assert_eq!(body.texts("labels").unwrap(), BTreeMap::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]));
        assert_eq!(body.flag("on"), Some(true));
        assert!(body.finish().is_ok());
        let mut body = fields(r#"{"labels": {"a/b": 1, "c": null}, "more": [], "on": "true"}"#);
        body.new_texts("labels");
        body.texts("more");
        body.flag("on");
        let problem = body.finish().unwrap_err().body("r");
        let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["/labels/a~1b", "/labels/c", "/more", "/on"]);
    }

    #[test]
    fn only_json_in_utf8_is_json() {
        let typed = |t: &str| is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, t.parse().unwrap())]));
        assert!(typed("application/json") && typed("Application/JSON; charset=UTF-8"));
        for other in ["text/plain", "application/json; charset=latin1", "application/jsonp", "multipart/form-data"] {
            assert!(!typed(other), "{other}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_arriving_is_given_up_with_408() {
        let stream = futures::stream::iter([Ok::<_, std::io::Error>("{")]).chain(futures::stream::pending());
        let read = read(Body::from_stream(stream), &HeaderMap::new(), 100, Duration::from_secs(10)).await;
        assert_eq!(read.unwrap_err().code(), Code::RequestTimeout);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_413_whether_it_says_so_or_not() {
        let said = HeaderMap::from_iter([(header::CONTENT_LENGTH, 101.into())]);
        for headers in [said, HeaderMap::new()] {
            let read = read(Body::from(vec![b' '; 101]), &headers, 100, Duration::from_secs(10)).await;
            assert_eq!(read.unwrap_err().code(), Code::BodyTooLarge);
        }
        assert!(read(Body::from(vec![b' '; 100]), &HeaderMap::new(), 100, Duration::from_secs(10)).await.is_ok());
    }
}
