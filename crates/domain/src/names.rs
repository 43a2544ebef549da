//! Names and slugs: parsed once, where a request comes in, and right from then on.
//!
//! A name may be of any script; a slug is what of it fits into a URL.

use std::ops::RangeInclusive;

use crate::Invalid;

/// The most characters (Unicode scalar values) of a name.
pub const NAME_MAX: usize = 200;
/// The most characters of a slug: that of a DNS label.
pub const SLUG_MAX: usize = 63;
/// Generated slugs leave room for the suffix (`-2`, `-3`, …) that a taken one gets.
const GENERATED_SLUG_MAX: usize = 56;

/// Characters that turn the direction of the text around a name: with them a name could pass for another.
const BIDI_OVERRIDES: [RangeInclusive<char>; 2] = ['\u{202A}'..='\u{202E}', '\u{2066}'..='\u{2069}'];

/// What people call an account or a workspace: trimmed, 1 to 200 characters, nothing that controls its display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// # Errors
    /// Every rule that `text` breaks, at `pointer`.
    pub fn parse(pointer: &str, text: &str) -> Result<Self, Vec<Invalid>> {
        let text = text.trim();
        let mut invalid = Vec::new();
        let length = text.chars().count();
        if !(1..=NAME_MAX).contains(&length) {
            invalid.push(Invalid::new(
                pointer,
                format!("A name has 1 to {NAME_MAX} characters, white space at its ends not counted; this one has {length}."),
            ));
        }
        let position = |wrong: fn(char) -> bool| text.chars().enumerate().find(|(_, c)| wrong(*c));
        if let Some((index, c)) = position(char::is_control) {
            invalid.push(Invalid::new(
                pointer,
                format!("A name holds no control characters; character {} is U+{:04X}. Leave it out.", index + 1, u32::from(c)),
            ));
        }
        if let Some((index, c)) = position(|c| BIDI_OVERRIDES.iter().any(|range| range.contains(&c))) {
            invalid.push(Invalid::new(
                pointer,
                format!(
                    "A name holds no characters that turn the direction of the text around it; character {} is U+{:04X}. \
                     Leave it out: right-to-left scripts are shown correctly without.",
                    index + 1,
                    u32::from(c)
                ),
            ));
        }
        if invalid.is_empty() { Ok(Self(text.to_owned())) } else { Err(invalid) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared: lower case, white space collapsed.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
    }

    /// A slug made of this name; `otherwise` where nothing of it fits into one.
    #[must_use]
    pub fn slug(&self, otherwise: &str) -> String {
        let latin = deunicode::deunicode_with_tofu(&self.0, " ").to_lowercase();
        let mut slug = latin.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
        slug.truncate(GENERATED_SLUG_MAX);
        let slug = slug.trim_end_matches('-');
        if slug.is_empty() { otherwise.to_owned() } else { slug.to_owned() }
    }
}

/// `text` if it is a slug: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
///
/// # Errors
/// The rule, at `pointer`.
pub fn parse_slug(pointer: &str, text: &str) -> Result<String, Vec<Invalid>> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let right = (1..=SLUG_MAX).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-');
    if right {
        return Ok(text.to_owned());
    }
    Err(vec![Invalid::new(
        pointer,
        format!(
            "A slug has 1 to {SLUG_MAX} characters of a-z, 0-9 and -, and neither begins nor ends with -. \
             Leave it out to have one made from the name."
        ),
    )])
}

/// `text` if it is one of the words that programs choose for themselves, such as a reason's code: `[a-z0-9_]{1,64}`.
///
/// # Errors
/// The rule, at `pointer`.
pub fn parse_word(pointer: &str, text: &str) -> Result<String, Vec<Invalid>> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err(vec![Invalid::new(pointer, "A code has 1 to 64 characters of a-z, 0-9 and _.")])
}

/// A sentence that a person gives with a verb, of at most this many characters.
pub const COMMENT_MAX: usize = 1000;

/// `text`, trimmed, if it is a comment: 1 to 1000 characters, line breaks and tabs allowed.
///
/// # Errors
/// Every rule that `text` breaks, at `pointer`.
pub fn parse_comment(pointer: &str, text: &str) -> Result<String, Vec<Invalid>> {
    let text = text.trim();
    let mut invalid = Vec::new();
    let length = text.chars().count();
    if !(1..=COMMENT_MAX).contains(&length) {
        invalid.push(Invalid::new(
            pointer,
            format!("A comment has 1 to {COMMENT_MAX} characters, white space at its ends not counted; this one has {length}."),
        ));
    }
    if let Some(c) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        invalid.push(Invalid::new(
            pointer,
            format!("A comment holds no control characters but line breaks and tabs; U+{:04X} is one. Leave it out.", u32::from(c)),
        ));
    }
    if invalid.is_empty() { Ok(text.to_owned()) } else { Err(invalid) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("Analytics", "Analytics")]
    #[case::trimmed(" \u{3000}Analytics\n", "Analytics")]
    #[case::inner_space_kept("a  b", "a  b")]
    #[case::right_to_left("فضاء العمل", "فضاء العمل")]
    #[case::hebrew_with_a_mark("\u{200F}סביבה 1", "\u{200F}סביבה 1")]
    #[case::emoji_family("👩‍👩‍👧 team", "👩‍👩‍👧 team")]
    #[case::han("分析", "分析")]
    fn a_name_may_be_of_any_script(#[case] text: &str, #[case] name: &str) {
        assert_eq!(Name::parse("/name", text).unwrap().as_str(), name);
    }

    #[rstest]
    #[case::empty("", 1)]
    #[case::blank(" \t\u{3000}", 1)]
    #[case::nul("a\0b", 1)]
    #[case::line_break_inside("a\nb", 1)]
    #[case::delete("a\u{7f}b", 1)]
    #[case::c1_control("a\u{9b}b", 1)]
    #[case::embedding("a\u{202A}b", 1)]
    #[case::override_("a\u{202E}b", 1)]
    #[case::isolate("a\u{2066}b", 1)]
    #[case::pop_isolate("a\u{2069}b", 1)]
    #[case::everything_at_once(&format!("{}\0\u{202E}", "x".repeat(10_000)), 3)]
    fn a_name_that_breaks_rules_names_them_all(#[case] text: &str, #[case] broken: usize) {
        let invalid = Name::parse("/name", text).unwrap_err();
        assert_eq!(invalid.len(), broken, "{invalid:?}");
        assert!(invalid.iter().all(|i| i.pointer == "/name"));
    }

    /// Catches a limit in bytes.
    #[rstest]
    #[case("x")]
    #[case("ש")]
    #[case("🚢")]
    fn a_name_is_measured_in_characters(#[case] c: &str) {
        assert!(Name::parse("/name", &c.repeat(200)).is_ok());
        let invalid = Name::parse("/name", &c.repeat(201)).unwrap_err();
        assert!(invalid[0].detail.contains("201"), "{invalid:?}");
        assert!(Name::parse("/name", &c.repeat(10_000)).unwrap_err()[0].detail.contains("10000"));
    }

    #[rstest]
    #[case("  Data   Team ", "data team")]
    #[case("ÀÉ\u{3000}Straße", "àé straße")]
    fn names_are_compared_in_their_folded_form(#[case] text: &str, #[case] folded: &str) {
        assert_eq!(Name::parse("/name", text).unwrap().folded(), folded);
    }

    #[rstest]
    #[case("Data Team", "data-team")]
    #[case("  --Data__Team!!  ", "data-team")]
    #[case("Größe: 10 €", "grosse-10-eur")]
    #[case("北京", "bei-jing")]
    #[case("Привет, мир", "privet-mir")]
    #[case("🚢", "ship")]
    #[case("!!!", "workspace")]
    #[case("\u{E000}", "workspace")]
    fn a_slug_is_made_of_what_the_name_yields(#[case] text: &str, #[case] slug: &str) {
        assert_eq!(Name::parse("/name", text).unwrap().slug("workspace"), slug);
    }

    #[rstest]
    #[case(&"x".repeat(200))]
    #[case(&"ab ".repeat(60))]
    #[case(&"🚢".repeat(200))]
    #[case(&"بحر".repeat(60))]
    fn a_generated_slug_is_a_slug_with_room_for_a_suffix(#[case] text: &str) {
        let slug = Name::parse("/name", text).unwrap().slug("workspace");
        assert!(slug.len() <= SLUG_MAX - "-999999".len(), "{slug}");
        assert_eq!(parse_slug("/slug", &slug).unwrap(), slug);
    }

    #[rstest]
    #[case("a")]
    #[case("7")]
    #[case("data-team-2")]
    #[case("a--b")]
    #[case(&"a".repeat(63))]
    fn a_slug_that_keeps_the_rules_is_taken_as_it_is(#[case] text: &str) {
        assert_eq!(parse_slug("/slug", text).unwrap(), text);
    }

    #[rstest]
    #[case("")]
    #[case("-a")]
    #[case("a-")]
    #[case("A")]
    #[case("a_b")]
    #[case("a b")]
    #[case("é")]
    #[case("a\0")]
    #[case(&"a".repeat(64))]
    fn a_slug_that_breaks_the_rules_is_refused(#[case] text: &str) {
        assert_eq!(parse_slug("/slug", text).unwrap_err()[0].pointer, "/slug");
    }

    #[rstest]
    #[case("dropped by hand", true)]
    #[case("two\nlines\tand a tab", true)]
    #[case("  ", false)]
    #[case("nul\0", false)]
    #[case(&"x".repeat(1000), true)]
    #[case(&"x".repeat(1001), false)]
    fn a_comment_is_one_to_a_thousand_characters(#[case] text: &str, #[case] right: bool) {
        assert_eq!(parse_comment("/comment", text).is_ok(), right);
    }
}
