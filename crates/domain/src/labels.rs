//! Labels: short keys and values that people and programs put on a workspace, and lists choose by.

use std::collections::BTreeMap;

use crate::Invalid;

/// The most labels of a workspace.
pub const LABELS_MAX: usize = 64;
/// The most characters of a key, and of a value.
pub const PART_MAX: usize = 63;

pub type Labels = BTreeMap<String, String>;
/// What is to become of labels: a value sets one, `None` takes it away, those that are not named stay.
pub type LabelsPatch = BTreeMap<String, Option<String>>;

/// Whether `text` is a label's key: `[a-z0-9][a-z0-9._/-]{0,62}`.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'/' | b'-');
    (1..=PART_MAX).contains(&text.len()) && text.bytes().all(inner) && text.as_bytes()[0].is_ascii_alphanumeric()
}

/// Whether `text` is a label's value: at most 63 characters, none of them a control character; it may be empty.
#[must_use]
pub fn is_value(text: &str) -> bool {
    text.chars().count() <= PART_MAX && !text.chars().any(char::is_control)
}

/// # Errors
/// Every key and value that breaks a rule, below `pointer`, and too many labels.
pub fn parse(pointer: &str, labels: Labels) -> Result<Labels, Vec<Invalid>> {
    check(pointer, labels.iter().map(|(key, value)| (key, Some(value))))?;
    count(pointer, &labels)?;
    Ok(labels)
}

/// # Errors
/// As [`parse`]; how many labels there will be is not known from here.
pub fn parse_patch(pointer: &str, patch: LabelsPatch) -> Result<LabelsPatch, Vec<Invalid>> {
    check(pointer, patch.iter().map(|(key, value)| (key, value.as_ref())))?;
    Ok(patch)
}

/// `labels` with `patch` applied.
///
/// # Errors
/// Too many labels.
pub fn patched(pointer: &str, labels: &Labels, patch: &LabelsPatch) -> Result<Labels, Vec<Invalid>> {
    let mut labels = labels.clone();
    for (key, value) in patch {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    count(pointer, &labels)?;
    Ok(labels)
}

fn check<'a>(pointer: &str, labels: impl Iterator<Item = (&'a String, Option<&'a String>)>) -> Result<(), Vec<Invalid>> {
    let mut invalid = Vec::new();
    for (key, value) in labels {
        let at = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        if !is_key(key) {
            let rule = "A label's key has 1 to 63 characters of a-z, 0-9, `.`, `_`, `/` and `-`, and begins with a letter or a digit.";
            invalid.push(Invalid::new(&at, rule));
        }
        if value.is_some_and(|value| !is_value(value)) {
            invalid.push(Invalid::new(&at, "A label's value has at most 63 characters, and no control characters."));
        }
    }
    if invalid.is_empty() { Ok(()) } else { Err(invalid) }
}

fn count(pointer: &str, labels: &Labels) -> Result<(), Vec<Invalid>> {
    if labels.len() <= LABELS_MAX {
        return Ok(());
    }
    let text = format!("A workspace has at most {LABELS_MAX} labels; with these it would have {}. Take some away.", labels.len());
    Err(vec![Invalid::new(pointer, text)])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[rstest]
    #[case("env", true)]
    #[case("7", true)]
    #[case("example.com/cost-center_2", true)]
    #[case(&"a".repeat(63), true)]
    #[case(&"a".repeat(64), false)]
    #[case("", false)]
    #[case("-a", false)]
    #[case(".a", false)]
    #[case("Env", false)]
    #[case("a:b", false)]
    #[case("é", false)]
    fn a_key_is_short_plain_and_begins_with_a_letter_or_digit(#[case] key: &str, #[case] right: bool) {
        assert_eq!(parse("/labels", labels(&[(key, "x")])).is_ok(), right);
    }

    /// Catches a limit in bytes.
    #[rstest]
    #[case("", true)]
    #[case(&"ש".repeat(63), true)]
    #[case(&"x".repeat(64), false)]
    #[case("a\nb", false)]
    fn a_value_is_at_most_63_characters_of_any_script(#[case] value: &str, #[case] right: bool) {
        assert_eq!(parse("/labels", labels(&[("a", value)])).is_ok(), right);
    }

    #[test]
    fn every_rule_that_is_broken_is_named_where_it_is_broken() {
        let invalid = parse("/labels", labels(&[("A/b~", "x"), ("ok", "\0"), ("fine", "")])).unwrap_err();
        assert_eq!(invalid.iter().map(|i| i.pointer.as_str()).collect::<Vec<_>>(), ["/labels/A~1b~0", "/labels/ok"]);
    }

    #[test]
    fn a_patch_sets_takes_away_and_leaves_the_rest() {
        let old = labels(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let patch = [("a", Some("9")), ("b", None), ("absent", None), ("d", Some(""))];
        let patch = patch.into_iter().map(|(k, v)| (k.to_owned(), v.map(str::to_owned))).collect();
        assert_eq!(patched("/labels", &old, &patch).unwrap(), labels(&[("a", "9"), ("c", "3"), ("d", "")]));
    }

    #[test]
    fn the_sixty_fifth_label_is_refused_whether_given_at_once_or_added() {
        let many: Labels = (0..64).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(parse("/labels", many.clone()).is_ok());
        let one_more: LabelsPatch = [("more".to_owned(), Some(String::new()))].into();
        assert_eq!(patched("/labels", &many, &one_more).unwrap_err()[0].pointer, "/labels");
        let swapped: LabelsPatch = [("more".to_owned(), Some(String::new())), ("k0".to_owned(), None)].into();
        assert!(patched("/labels", &many, &swapped).is_ok(), "one goes, one comes");
    }
}
