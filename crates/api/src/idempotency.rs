//! `Idempotency-Key`: reading it, fingerprinting the request, and answering a repeated one as the first was answered.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::Invalid;
use domain::berth::{Replay, Reply};
use domain::ports::Answer;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};

pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LENGTH_MAX: usize = 255;
/// Seconds after which a client should look at a run that was just accepted.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The key of a request, if it has one, with what scopes it.
#[derive(Debug)]
pub struct Idempotent {
    key: Option<String>,
    method: String,
    path: String,
    query: String,
}

impl<S: Sync> FromRequestParts<S> for Idempotent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self {
            key: key(&parts.headers)?,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

impl Idempotent {
    /// What a use case stores beside its mutation; `answer` words the answer that a repeated request will get.
    #[must_use]
    pub fn replay<T>(self, body: &Bytes, answer: fn(&T) -> Answer) -> Option<Replay<T>> {
        let key = self.key?;
        let mut hash = Sha256::new();
        hash.update(self.query.as_bytes());
        hash.update([0]);
        hash.update(body);
        Some(Replay { key, method: self.method, path: self.path, fingerprint: hash.finalize().to_vec(), answer })
    }
}

/// Writes out a mutation's answer, fresh or replayed, in the same words.
pub fn respond<T>(reply: Reply<T>, answer: fn(&T) -> Answer) -> Response {
    let (answer, replayed) = match reply {
        Reply::Fresh(done) => (answer(&done), false),
        Reply::Replayed(answer) => (answer, true),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, axum::Json(answer.body)).into_response();
    let headers = response.headers_mut();
    if let Some(location) = answer.location.and_then(|l| HeaderValue::try_from(l).ok()) {
        headers.insert(header::LOCATION, location);
    }
    if status == StatusCode::ACCEPTED {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("is given more than once"));
    }
    let text = value.to_str().map_err(|_| malformed("is not ASCII"))?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or_else(|| malformed("is not a string in double quotes"))?,
        None if text.contains(['"', '\\', ',', ';']) => return Err(malformed("holds a character that needs double quotes")),
        None => text.to_owned(),
    };
    if key.is_empty() || key.len() > LENGTH_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(malformed("is not 1 to 255 visible ASCII characters"));
    }
    Ok(Some(key))
}

/// What stands before the closing quote of a structured-field string (RFC 9651), which must be the end.
fn unquoted(rest: &str) -> Option<String> {
    let mut out = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(out),
            '\\' => match letters.next()? {
                c @ ('"' | '\\') => out.push(c),
                _ => return None,
            },
            c => out.push(c),
        }
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::new(Code::InvalidIdempotencyKey, format!("The Idempotency-Key {detail}. {}", Code::InvalidIdempotencyKey.help()))
        .errors(vec![Invalid::new("Idempotency-Key", detail)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, Code> {
        key(&values.iter().map(|v| (HEADER, HeaderValue::from_bytes(v).unwrap())).collect()).map_err(|p| p.code())
    }

    #[test]
    fn a_key_is_the_same_in_quotes_and_bare() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"8e03978e-40d5"]), read(&[b"\"8e03978e-40d5\""]));
        assert_eq!(read(&[b"\"a\\\"b\\\\c\""]), Ok(Some("a\"b\\c".to_owned())));
        assert_eq!(read(&[&[b'x'; 255]]), Ok(Some("x".repeat(255))));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let long = [b'x'; 256];
        for bad in [&b""[..], b"\"\"", b"\"a", b"a\"", b"a b", b"\"a\" ; p=1", b"\"a\\n\"", b"\xff", b"a,b", &long] {
            assert_eq!(read(&[bad]), Err(Code::InvalidIdempotencyKey), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(read(&[b"a", b"a"]), Err(Code::InvalidIdempotencyKey));
    }

    #[test]
    fn the_fingerprint_tells_query_and_body_apart() {
        let of = |query: &str, body: &str| {
            let idempotent = Idempotent { key: Some("k".into()), method: "POST".into(), path: "/v1/x".into(), query: query.into() };
            let answer: fn(&()) -> Answer = |()| Answer { status: 202, location: None, body: serde_json::Value::Null };
            idempotent.replay(&Bytes::copy_from_slice(body.as_bytes()), answer).unwrap().fingerprint
        };
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("a", "b"), of("", "ab"));
        assert_ne!(of("a", "b"), of("ab", ""));
    }
}
