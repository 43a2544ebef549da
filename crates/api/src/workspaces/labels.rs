//! Labels on the wire: their schemas, and the filter of lists.

use domain::labels::{LABELS_MAX, PART_MAX, is_key, is_value};
use domain::ports::LabelFilter;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, SchemaType};
use utoipa::openapi::{Array, Object, ObjectBuilder, RefOr, Schema, Type};

/// How often a list takes `label`.
pub const FILTERS_MAX: usize = 16;
const KEY: &str = "^[a-z0-9][a-z0-9._/-]{0,62}$";
const VALUE: &str = r"^[^\x00-\x1f\x7f-\x9f]{0,63}$";
const FILTER: &str = r"^[a-z0-9][a-z0-9._/-]{0,62}(:[^\x00-\x1f\x7f-\x9f]{0,63})?$";

fn object(value: Object) -> ObjectBuilder {
    let key = ObjectBuilder::new().schema_type(Type::String).pattern(Some(KEY)).build();
    ObjectBuilder::new()
        .property_names(Some(Schema::Object(key)))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::Object(value)))))
        .examples([serde_json::json!({"cost-center": "4711"})])
}

fn value(kind: impl Into<SchemaType>) -> Object {
    ObjectBuilder::new().schema_type(kind).max_length(Some(PART_MAX)).pattern(Some(VALUE)).build()
}

/// The labels of a workspace.
pub fn labels() -> Object {
    object(value(Type::String)).max_properties(Some(LABELS_MAX)).description(Some("Keys and values that lists can choose by.")).build()
}

/// What is to become of them.
pub fn patch() -> Object {
    let words = "Labels to set, and, as null, to take away; those that are not named stay (JSON merge patch). \
                 A workspace has at most 64.";
    object(value(SchemaType::from_iter([Type::String, Type::Null]))).description(Some(words)).build()
}

pub fn filters() -> Array {
    let item = ObjectBuilder::new().schema_type(Type::String).pattern(Some(FILTER)).examples([serde_json::json!("cost-center:4711")]);
    let words = "Only workspaces that have this label, `key` or `key:value`. May be given several times: all have to be there.";
    ArrayBuilder::new().items(item).max_items(Some(FILTERS_MAX)).description(Some(words)).build()
}

/// `key` or `key:value`.
pub fn filter(text: &str) -> Option<LabelFilter> {
    let (key, value) = match text.split_once(':') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    let right = is_key(key) && value.is_none_or(is_value);
    right.then(|| LabelFilter { key: key.to_owned(), value: value.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_key_with_or_without_a_value() {
        let of = |text| filter(text).map(|f| (f.key, f.value));
        assert_eq!(of("env"), Some(("env".to_owned(), None)));
        assert_eq!(of("env:"), Some(("env".to_owned(), Some(String::new()))));
        assert_eq!(of("url:http://x"), Some(("url".to_owned(), Some("http://x".to_owned()))), "the first colon parts them");
        for bad in ["", ":x", "Env:x", "a b", "a:\n"] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
