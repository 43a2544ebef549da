//! What a test gets back, and what it looks for in it.

use std::collections::HashMap;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use uuid::Uuid;

/// What came back; its contract is held already.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
    }

    pub fn location(&self) -> String {
        self.header("location").to_owned()
    }

    pub fn id(&self, field: &str) -> Uuid {
        self.json[field].as_str().unwrap().parse().unwrap()
    }

    pub fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.json["code"].as_str().unwrap_or_default())
    }

    /// Pointers of the violations that a problem lists.
    pub fn pointers(&self) -> Vec<&str> {
        self.json["errors"].as_array().map(|e| e.iter().filter_map(|e| e["pointer"].as_str()).collect()).unwrap_or_default()
    }

    /// The target of the `Link` to the next page.
    pub fn next(&self) -> Option<String> {
        let link = self.headers.get("link")?.to_str().unwrap();
        Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
    }

    /// A field of each item of a list, and how often it occurs.
    pub fn counted(&self, field: &str) -> HashMap<String, usize> {
        let mut counted = HashMap::new();
        for item in self.json.as_array().unwrap() {
            *counted.entry(item[field].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counted
    }
}
