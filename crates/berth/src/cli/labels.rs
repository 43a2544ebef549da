//! Labels as they are typed: `KEY=VALUE`.

use std::str::FromStr;

use serde_json::{Map, Value};

#[derive(Debug, Clone)]
pub struct Label {
    key: String,
    value: String,
}

impl Label {
    pub fn object(labels: &[Self]) -> Value {
        labels.iter().map(|label| (label.key.clone(), Value::from(label.value.as_str()))).collect::<Map<_, _>>().into()
    }
}

impl FromStr for Label {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err(format!("`{text}` is no label: write KEY=VALUE")),
        }
    }
}
