//! Fields that are more than one word: times, lists of words, objects in the object.

use saga::Time;
use serde_json::Value;

use super::Fields;

impl Fields {
    /// A time as RFC 3339 has it.
    pub fn time(&mut self, name: &'static str) -> Option<Time> {
        let time = Time::parse(&self.text(name)?);
        if time.is_none() {
            self.refuse(name, "is not a time such as 2026-01-31T12:00:00Z");
        }
        time
    }

    /// The field's text; `None` if it is `null`, or is not given.
    pub fn text_or_null(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => {
                self.refuse(name, "is neither a string nor null");
                None
            }
        }
    }

    /// An array of a few words.
    pub fn words<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let Value::Array(items) = self.take(name)? else {
            self.refuse(name, "is not an array");
            return None;
        };
        let mut found = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let word = words.iter().find(|(word, _)| item.as_str() == Some(word)).map(|(_, value)| *value);
            if word.is_none() {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                self.refuse_at(&format!("/{name}/{n}"), format!("is not one of {}", words.join(", ")));
            }
            found.extend(word);
        }
        Some(found)
    }

    /// An object, whose own fields `read` takes; those that it leaves are refused.
    pub fn object<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let Value::Object(entries) = self.take(name)? else {
            self.refuse(name, "is not an object");
            return None;
        };
        let mut inner = Self {
            left: entries.into_iter().collect(),
            known: Vec::new(),
            errors: Vec::new(),
            attempt: self.attempt.clone(),
            strayed: false,
        };
        let value = read(&mut inner);
        self.strayed |= inner.strayed;
        for error in inner.closed() {
            self.refuse_at(&format!("/{name}{}", error.pointer), error.detail);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::audited::Attempt;
    use crate::body::JsonBody;

    fn fields(text: &str) -> Fields {
        JsonBody { raw: Bytes::new(), fields: serde_json::from_str(text).unwrap(), attempt: Attempt::default() }.fields()
    }

    const WORDS: [(&str, i32); 2] = [("one", 1), ("two", 2)];

    #[test]
    fn a_body_that_names_another_workspace_than_the_tokens_is_refused() {
        let (own, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let attempt = Attempt::default();
        attempt.by(&domain::Caller {
            principal: domain::Principal { kind: domain::PrincipalKind::User, id: own },
            on_behalf_of: None,
            workspace: Some(own),
            credential_id: None,
            source_ip: None,
            user_agent: None,
            request_id: String::new(),
            traceparent: None,
        });
        for (id, is_refused) in [(own, false), (other, true)] {
            let text = format!(r#"{{"workspace_id": "{id}", "in": {{"workspace_id": "{id}"}}}}"#);
            let body = JsonBody { raw: Bytes::new(), fields: serde_json::from_str(&text).unwrap(), attempt: attempt.clone() };
            let mut fields = body.fields();
            fields.id("workspace_id");
            fields.object("in", |inner| inner.id("workspace_id"));
            assert_eq!(fields.finish().is_err_and(|p| p.code() == crate::problem::Code::TokenScope), is_refused);
            let inner_only = format!(r#"{{"in": {{"workspace_id": "{id}"}}}}"#);
            let body = JsonBody { raw: Bytes::new(), fields: serde_json::from_str(&inner_only).unwrap(), attempt: attempt.clone() };
            let mut fields = body.fields();
            fields.object("in", |inner| inner.id("workspace_id"));
            assert_eq!(fields.finish().is_err(), is_refused, "an object in the object");
        }
    }

    #[test]
    fn what_is_right_is_taken() {
        let mut body = fields(r#"{"at": "2026-01-31T12:00:00Z", "words": ["two", "one"], "why": {"code": "x"}}"#);
        assert_eq!(body.time("at"), Time::parse("2026-01-31T12:00:00Z"));
        assert_eq!(body.words("words", &WORDS), Some(vec![2, 1]));
        assert_eq!(body.object("why", |why| (why.required_text("code"), why.text("note"))), Some(("x".to_owned(), None)));
        assert_eq!(body.words("more", &WORDS), None);
        assert!(body.finish().is_ok());
    }

    #[test]
    fn violations_are_told_where_they_stand() {
        let mut body = fields(r#"{"at": "noon", "words": ["one", "three", 1], "why": {"note": 1, "else": 2}, "list": {}, "object": []}"#);
        body.time("at");
        body.words("words", &WORDS);
        body.object("why", |why| (why.required_text("code"), why.text("note")));
        body.words("list", &WORDS);
        body.object("object", |_| ());
        let problem = body.finish().unwrap_err().body("r");
        let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["/at", "/words/1", "/words/2", "/why/code", "/why/note", "/why/else", "/list", "/object"]);
    }
}
