//! `If-Match`: the condition that a client puts on a change (RFC 9110).

use axum::extract::FromRequestParts;
use domain::Invalid;
use domain::ports::IfMatch;
use http::request::Parts;
use http::{HeaderMap, header};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::problem::Problem;

/// Documents what [`Conditional`] takes where it is optional.
pub struct IfMatchHeader;

/// As [`IfMatchHeader`], where there is no going on without.
pub struct NeededIfMatchHeader;

impl IntoParams for IfMatchHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(Required::False)]
    }
}

impl IntoParams for NeededIfMatchHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(Required::True)]
    }
}

fn parameter(required: Required) -> Parameter {
    let pattern = r#"^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$"#;
    let tags = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples([serde_json::json!("\"7\"")]).build();
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some("The `ETag` of the revision that the client has seen, or `*`. Weak ones never match."))
        .schema(Some(tags))
        .build()
}

/// Which revisions of a row the client takes; `None` if it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditional(pub Option<IfMatch>);

impl<S: Sync> FromRequestParts<S> for Conditional {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

/// Tags are compared strongly: a weak one, or one that no row could have, is well-formed and matches nothing.
fn read(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    let malformed = || {
        let detail = "is neither `*` nor a list of entity tags such as `\"7\"`";
        Problem::invalid_request(vec![Invalid::new("If-Match", detail)])
    };
    let mut given = None;
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().map_err(|_| malformed())?.trim();
        match (text, &mut given) {
            ("*", None) => given = Some(IfMatch::Any),
            ("*", Some(_)) | (_, Some(IfMatch::Any)) => return Err(malformed()),
            (list, _) => {
                let mut revisions = match given.take() {
                    Some(IfMatch::Revisions(revisions)) => revisions,
                    _ => Vec::new(),
                };
                revisions.extend(tags(list).ok_or_else(malformed)?.into_iter().filter_map(revision));
                given = Some(IfMatch::Revisions(revisions));
            }
        }
    }
    Ok(given)
}

/// The strong tags of a list; weak ones are left out.
fn tags(mut rest: &str) -> Option<Vec<&str>> {
    let mut tags = Vec::new();
    loop {
        let (is_weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        if !is_weak {
            tags.push(tag);
        }
        let after = after.trim_start();
        if after.is_empty() {
            return Some(tags);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

/// A row's tag is its revision in digits, spelled in one way only.
fn revision(tag: &str) -> Option<i64> {
    tag.parse::<i64>().ok().filter(|revision| revision.to_string() == tag)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Result<Option<IfMatch>, ()> {
        read(&values.iter().map(|v| (header::IF_MATCH, HeaderValue::from_str(v).unwrap())).collect()).map_err(drop)
    }

    fn revisions(revisions: &[i64]) -> IfMatch {
        IfMatch::Revisions(revisions.to_vec())
    }

    #[test]
    fn a_condition_is_a_star_or_a_list_of_tags() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["*"]), Ok(Some(IfMatch::Any)));
        assert_eq!(of(&["\"7\""]), Ok(Some(revisions(&[7]))));
        assert_eq!(of(&["\"7\", \"a,b\" ,\"9\""]), Ok(Some(revisions(&[7, 9]))));
        assert_eq!(of(&["\"7\"", "\"8\""]), Ok(Some(revisions(&[7, 8]))), "several headers are one list");
    }

    #[test]
    fn what_no_row_can_have_matches_none() {
        for other in ["W/\"7\"", "\"\"", "\"x\"", "\"07\"", "\"+7\"", "\"99999999999999999999\""] {
            assert_eq!(of(&[other]), Ok(Some(revisions(&[]))), "{other}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for bad in [
            &["7"][..],
            &[""],
            &["\"7"],
            &["7\""],
            &["\"7\" \"8\""],
            &["\"7\","],
            &["w/\"7\""],
            &["*, \"7\""],
            &["*", "\"7\""],
            &["\"7\"", "*"],
            &["\"a b\""],
        ] {
            assert_eq!(of(bad), Err(()), "{bad:?}");
        }
    }
}
