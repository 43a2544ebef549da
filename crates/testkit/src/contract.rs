//! Holds answers against `openapi.yaml`: a client in a test shows every answer it gets, and one that the document does
//! not allow fails the test.
//!
//! Stricter than the document in one point: an answer may hold no field that is not documented. (Problems may: RFC 9457
//! lets them carry further members.) It knows no HTTP library, so that any client can use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const PROBLEM: &str = "application/problem+json";

/// An OpenAPI 3.1 document that answers are held against.
pub struct Contract {
    document: Value,
    operations: Vec<Operation>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One operation of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// In capitals.
    pub method: String,
    /// The template, such as `/v1/workspaces/{id}`.
    pub path: String,
    pub id: String,
}

/// An answer with as much of its request as names the operation.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    pub method: &'a str,
    /// With or without a query.
    pub path: &'a str,
    pub status: u16,
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

impl Exchange<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn media_type(&self) -> Option<&str> {
        self.header("content-type").map(|v| v.split(';').next().unwrap_or(v).trim())
    }
}

impl Contract {
    /// # Panics
    /// If `yaml` is not an OpenAPI document.
    #[must_use]
    pub fn new(yaml: &str) -> Self {
        let mut document: Value = serde_saphyr::from_str(yaml).expect("openapi.yaml is YAML");
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().expect("openapi.yaml has paths") {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
                    operations.push(Operation { method: method.to_uppercase(), path: path.clone(), id });
                }
            }
        }
        let schemas = document["components"]["schemas"].as_object_mut().expect("openapi.yaml has schemas");
        for (_, schema) in schemas.iter_mut().filter(|(name, _)| *name != "Problem") {
            close(schema);
        }
        Self { document, operations, validators: Mutex::default() }
    }

    /// Everything that the document offers.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation that serves `path`; of several the one with the most fixed parts.
    #[must_use]
    pub fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        let path = path.split('?').next().unwrap_or(path);
        let method = if method == "HEAD" { "GET" } else { method };
        let fits = self.operations.iter().filter(|o| o.method == method && fits(&o.path, path));
        fits.max_by_key(|o| o.path.split('/').filter(|part| !part.starts_with('{')).count())
    }

    /// # Panics
    /// If the document does not allow this answer.
    pub fn hold(&self, exchange: &Exchange<'_>) {
        if let Err(fault) = self.check(exchange) {
            let Exchange { method, path, status, .. } = exchange;
            panic!(
                "{method} {path} was answered {status}, which openapi.yaml does not allow: {fault}\n{}",
                String::from_utf8_lossy(exchange.body)
            );
        }
    }

    /// # Errors
    /// The first thing about the answer that the document does not allow.
    pub fn check(&self, exchange: &Exchange<'_>) -> Result<(), String> {
        every_answer(exchange)?;
        let Some(operation) = self.operation(exchange.method, exchange.path) else { return self.check_stray(exchange) };
        let item = &self.document["paths"][&operation.path][operation.method.to_lowercase()];
        let status = exchange.status.to_string();
        let response = item["responses"].get(&status).ok_or_else(|| format!("{} documents no {status}", operation.id))?;
        let response = self.resolve(response);
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            return if exchange.body.is_empty() { Ok(()) } else { Err(format!("{} documents no body with {status}", operation.id)) };
        };
        let media_type = exchange.media_type().ok_or("there is no Content-Type")?;
        let documented = content.get(media_type).ok_or_else(|| format!("{} documents no {media_type} with {status}", operation.id))?;
        if exchange.method == "HEAD" {
            return if exchange.body.is_empty() { Ok(()) } else { Err("HEAD was answered with a body".to_owned()) };
        }
        if media_type != "application/json" && !media_type.ends_with("+json") {
            return Ok(());
        }
        self.validate(&format!("{} {status}", operation.id), &documented["schema"], exchange.body)
    }

    /// Answers to what no operation serves: a problem, or what OPTIONS tells.
    fn check_stray(&self, exchange: &Exchange<'_>) -> Result<(), String> {
        match (exchange.method, exchange.status) {
            ("OPTIONS", 204) if exchange.header("allow").is_some() => Ok(()),
            ("HEAD", 404 | 405) => Ok(()),
            (_, 400 | 401 | 404 | 405) if exchange.media_type() == Some(PROBLEM) => {
                self.validate("Problem", &json!({"$ref": "#/components/schemas/Problem"}), exchange.body)
            }
            _ => Err("no operation of the document serves this, and it is not the problem that says so".to_owned()),
        }
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let reference = value.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        reference.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }

    fn validate(&self, name: &str, schema: &Value, body: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let validator = self.validator(name, schema)?;
        let faults: Vec<String> = validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    fn validator(&self, name: &str, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut known = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = known.get(name) {
            return Ok(validator.clone());
        }
        let whole = json!({"allOf": [schema], "components": self.document["components"]});
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        let validator = Arc::new(options.build(&whole).map_err(|e| format!("the schema of {name} cannot be used: {e}"))?);
        known.insert(name.to_owned(), validator.clone());
        Ok(validator)
    }
}

/// What every answer has, whatever was asked.
fn every_answer(exchange: &Exchange<'_>) -> Result<(), String> {
    let needed = match exchange.status {
        401 => Some("www-authenticate"),
        405 => Some("allow"),
        503 => Some("retry-after"),
        _ => None,
    };
    for name in ["x-request-id", "cache-control", "x-content-type-options"].into_iter().chain(needed) {
        if exchange.header(name).is_none() {
            return Err(format!("the header {name} is missing"));
        }
    }
    if exchange.status >= 400 && exchange.method != "HEAD" && exchange.media_type() != Some(PROBLEM) {
        return Err(format!("a refusal is {PROBLEM}"));
    }
    Ok(())
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| if t.starts_with('{') { !p.is_empty() } else { t == p })
}

/// Forbids, all the way down, properties that are not named.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            object.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "example" | "examples")).for_each(|(_, value)| close(value));
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The body of an answer as a JSON object; empty if it is none.
#[must_use]
pub fn object(body: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r"
openapi: 3.1.0
paths:
  /things/{id}:
    get:
      operationId: getThing
      responses:
        '200': {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
        '304': {description: the same}
        '404': {$ref: '#/components/responses/NotFound'}
  /things/new:
    get: {operationId: getNew, responses: {'200': {content: {text/plain: {schema: {type: string}}}}}}
components:
  responses:
    NotFound: {content: {application/problem+json: {schema: {$ref: '#/components/schemas/Problem'}}}}
  schemas:
    Thing: {type: object, required: [id], properties: {id: {type: string, format: uuid}}}
    Problem: {type: object, required: [code], properties: {code: {type: string}}}
";

    fn check(method: &str, path: &str, status: u16, media_type: &str, body: &str) -> Result<(), String> {
        let mut headers: Vec<(String, String)> =
            ["x-request-id", "cache-control", "x-content-type-options"].map(|n| (n.to_owned(), "x".to_owned())).into();
        if !media_type.is_empty() {
            headers.push(("content-type".to_owned(), media_type.to_owned()));
        }
        Contract::new(DOCUMENT).check(&Exchange { method, path, status, headers: &headers, body: body.as_bytes() })
    }

    const ID: &str = "00000000-0000-0000-0000-000000000007";

    #[test]
    fn an_answer_as_documented_passes() {
        let body = json!({ "id": ID }).to_string();
        assert_eq!(check("GET", "/things/7?x=1", 200, "application/json; charset=utf-8", &body), Ok(()));
        assert_eq!(check("GET", "/things/7", 304, "", ""), Ok(()));
        assert_eq!(check("HEAD", "/things/7", 200, "application/json", ""), Ok(()));
        assert_eq!(check("GET", "/things/7", 404, PROBLEM, r#"{"code": "not_found", "more": 1}"#), Ok(()));
        assert_eq!(check("GET", "/things/new", 200, "text/plain", "anything"), Ok(()), "the fixed path beats the template");
        assert_eq!(check("GET", "/elsewhere", 404, PROBLEM, r#"{"code": "route_not_found"}"#), Ok(()));
    }

    #[test]
    fn whatever_is_not_documented_fails() {
        let body = json!({ "id": ID }).to_string();
        for (what, answer) in [
            ("a status", check("GET", "/things/7", 202, "application/json", &body)),
            ("a content type", check("GET", "/things/7", 200, "text/plain", &body)),
            ("a wrong format", check("GET", "/things/7", 200, "application/json", r#"{"id": "7"}"#)),
            ("a missing field", check("GET", "/things/7", 200, "application/json", "{}")),
            ("a field too many", check("GET", "/things/7", 200, "application/json", &json!({"id": ID, "secret": 1}).to_string())),
            ("a body with 304", check("GET", "/things/7", 304, "application/json", &body)),
            ("a refusal that is no problem", check("GET", "/things/7", 404, "application/json", r#"{"code": "x"}"#)),
            ("a path that nobody serves", check("GET", "/elsewhere", 200, "application/json", "{}")),
            ("a stray refusal that is no problem", check("GET", "/elsewhere", 404, "text/plain", "not found")),
            ("a 405 without Allow", check("PUT", "/things/7", 405, PROBLEM, r#"{"code": "method_not_allowed"}"#)),
        ] {
            assert!(answer.is_err(), "{what} passed");
        }
    }
}
