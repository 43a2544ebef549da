//! An answer of the API: its value, to be looked into, beside the text that it came in, to be printed. The members of
//! what is printed stand in the order in which the server wrote them.

use std::ops::Deref;

use serde_json::ser::Formatter;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Serializer, Value};

#[derive(Debug, Clone, Default)]
pub struct Document {
    value: Value,
    text: String,
}

impl Document {
    /// # Errors
    /// The text is no JSON.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        Ok(Self { value: serde_json::from_str(&text)?, text })
    }

    /// The elements of an array; none of anything else.
    pub fn items(&self) -> Vec<Self> {
        let items: Vec<Box<RawValue>> = serde_json::from_str(&self.text).unwrap_or_default();
        items.into_iter().filter_map(|item| Self::parse(item.get().to_owned()).ok()).collect()
    }

    /// As it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// In one line.
    pub fn line(&self) -> String {
        self.written(Serializer::new)
    }

    /// Indented.
    pub fn indented(&self) -> String {
        self.written(Serializer::pretty)
    }

    fn written<F: Formatter>(&self, serializer: impl FnOnce(Vec<u8>) -> Serializer<Vec<u8>, F>) -> String {
        let mut out = serializer(Vec::with_capacity(self.text.len() * 2));
        // What was parsed once is JSON, and memory does not refuse to be written to.
        let _ = serde_transcode::transcode(&mut Deserializer::from_str(&self.text), &mut out);
        String::from_utf8_lossy(&out.into_inner()).into_owned()
    }
}

impl Deref for Document {
    type Target = Value;
    fn deref(&self) -> &Value {
        &self.value
    }
}

/// What this side says by itself, its members in this order.
impl<const N: usize> From<[(&str, Value); N]> for Document {
    fn from(members: [(&str, Value); N]) -> Self {
        let members = members.map(|(name, value)| format!("{}:{value}", Value::from(name)));
        Self::parse(format!("{{{}}}", members.join(","))).unwrap_or_default()
    }
}

/// The elements of a list as one text, indented.
pub fn indented(items: &[Document]) -> String {
    let texts: Vec<&str> = items.iter().map(Document::text).collect();
    Document { value: Value::Null, text: format!("[{}]", texts.join(",")) }.indented()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_the_order_in_which_they_came() {
        let came = r#"[ {"id":"1","name":"ü\n","n":18446744073709551615,"a":{"z":[],"b":null}}, {"b":1,"a":-1.5} ]"#;
        let document = Document::parse(came.to_owned()).unwrap();
        assert_eq!(document.line(), r#"[{"id":"1","name":"ü\n","n":18446744073709551615,"a":{"z":[],"b":null}},{"b":1,"a":-1.5}]"#);
        let items = document.items();
        assert_eq!(items[0]["a"]["z"], serde_json::json!([]));
        assert_eq!(items[1].indented(), "{\n  \"b\": 1,\n  \"a\": -1.5\n}");
        assert_eq!(indented(&items), document.indented());
        assert_eq!(indented(&[]), "[]");
        let own = Document::from([("title", "a \"b\"".into()), ("code", Value::Null)]);
        assert_eq!((own.line().as_str(), own["title"].as_str()), (r#"{"title":"a \"b\"","code":null}"#, Some("a \"b\"")));
        assert!(Document::parse("{".to_owned()).is_err() && Document::default().items().is_empty());
    }
}
