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
        let mut inner = Self { left: entries.into_iter().collect(), known: Vec::new(), errors: Vec::new(), attempt: self.attempt.clone() };
        let value = read(&mut inner);
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
