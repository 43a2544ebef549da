//! What an export's request asks for besides rights: format, compression, sections; and what its file is called.

use domain::model::{ExportFormat, ExportSection, Workspace};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use saga::Time;

/// How the bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// The word of `Content-Encoding`, which an uncompressed answer does not carry.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The media type with its parameters.
pub fn media_type(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
        ExportFormat::Json => "application/json",
        ExportFormat::Ndjson => "application/x-ndjson",
    }
}

/// Sections as the parameter names them: each once, in the order of their first mention.
pub fn sections(text: &str) -> Option<Vec<ExportSection>> {
    let mut sections = Vec::new();
    for word in text.split(',') {
        let section = ExportSection::parse(word)?;
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    Some(sections)
}

/// A choice of a header such as `Accept`, with its weight in thousandths.
fn weighed(headers: &HeaderMap, name: &HeaderName) -> Vec<(String, u16)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            let word = parts.next().filter(|word| !word.is_empty())?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some((word, weight.map_or(Some(1000), thousandths)?))
        })
        .collect()
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_digit());
    let rest: u16 = if digits { format!("{rest:0<3}").parse().ok()? } else { return None };
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
    }
}

/// The weight of the most particular of the choices that `fits` tells the rank of, the higher the more particular.
fn weight_of(choices: &[(String, u16)], fits: impl Fn(&str) -> Option<u8>) -> u16 {
    let fitting = choices.iter().filter_map(|(word, weight)| Some((fits(word)?, *weight)));
    fitting.max_by_key(|(rank, weight)| (*rank, *weight)).map_or(0, |(_, weight)| weight)
}

/// The format that `Accept` likes best; `default` if it likes that as much, or none.
pub fn format(headers: &HeaderMap, default: ExportFormat) -> ExportFormat {
    let choices = weighed(headers, &header::ACCEPT);
    let weight = |format: ExportFormat| {
        let (own, others, range) = match format {
            ExportFormat::Csv => ("text/csv", "text/csv", "text/*"),
            ExportFormat::Json => ("application/json", "text/json", "application/*"),
            ExportFormat::Ndjson => ("application/x-ndjson", "application/ndjson", "application/*"),
        };
        weight_of(&choices, |word| match word {
            word if word == own || word == others => Some(2),
            word if word == range => Some(1),
            "*/*" => Some(0),
            _ => None,
        })
    };
    let mut best = (default, weight(default));
    for format in ExportFormat::ALL {
        if weight(*format) > best.1 {
            best = (*format, weight(*format));
        }
    }
    best.0
}

/// The compression that `Accept-Encoding` likes best, the better one of equals; none if none is asked for.
pub fn encoding(headers: &HeaderMap) -> Encoding {
    let choices = weighed(headers, &header::ACCEPT_ENCODING);
    let weight = |name: &str| {
        weight_of(&choices, |word| match word {
            "*" => Some(0),
            word => (word == name).then_some(1),
        })
    };
    let (gzip, zstd) = (weight("gzip").max(weight("x-gzip")), weight("zstd"));
    let identity = choices.iter().find(|(word, _)| word == "identity").map_or(0, |(_, weight)| *weight);
    match () {
        () if zstd > 0 && zstd >= gzip && zstd >= identity => Encoding::Zstd,
        () if gzip > 0 && gzip >= identity => Encoding::Gzip,
        () => Encoding::Identity,
    }
}

/// What may stand in a `filename*` as it is (RFC 8187).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most characters of a workspace's name in a file's name.
const NAME_MAX: usize = 80;

/// `Content-Disposition`: a name in plain letters for all, and the workspace's own name for those who know `filename*`.
/// Neither can leave its folder, hide its ending or break a header.
pub fn disposition(workspace: &Workspace, started_at: Time, format: ExportFormat) -> HeaderValue {
    let stamp: String = started_at.to_string().chars().take_while(|c| *c != '.' && *c != 'Z').filter(|c| !matches!(c, '-' | ':')).collect();
    let ending = format.as_str();
    let plain: String = workspace.slug.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect();
    let plain = match plain.trim_matches('-') {
        "" => "workspace",
        plain => plain,
    };
    let own = harmless(&workspace.name);
    let own = if own.is_empty() { plain } else { &own };
    let text = format!(
        "attachment; filename=\"{plain}-{stamp}Z.{ending}\"; filename*=UTF-8''{}",
        utf8_percent_encode(&format!("{own} {stamp}Z.{ending}"), ATTRIBUTE)
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// A name without what a file system or a shell takes for something else, and without what cannot be seen.
fn harmless(name: &str) -> String {
    let kept = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '%' => Some('_'),
        // Marks of direction and of no width: what is read would not be what is there.
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        c if c.is_control() => None,
        c => Some(c),
    };
    let name: String = name.chars().filter_map(kept).take(NAME_MAX).collect();
    name.trim_matches(|c: char| c == '.' || c.is_whitespace()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_format_is_what_accept_likes_best() {
        use ExportFormat::{Csv, Json, Ndjson};
        for (accept, expected) in [
            ("", Csv),
            ("*/*", Csv),
            ("text/html", Csv),
            ("application/json", Json),
            ("application/x-ndjson", Ndjson),
            ("application/ndjson", Ndjson),
            ("text/csv;q=0.5, application/json;q=0.8", Json),
            ("application/json;q=0.5, */*;q=0.1", Json),
            ("application/json;q=0, */*", Csv),
            ("text/*, application/json;q=0.9", Csv),
            ("application/*", Json),
            ("application/json;q=2", Csv),
            ("Application/JSON; charset=utf-8", Json),
        ] {
            assert_eq!(format(&headers(header::ACCEPT, accept), Csv), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new(), Ndjson), Ndjson);
        assert_eq!(format(&headers(header::ACCEPT, "*/*"), Json), Json);
    }

    #[test]
    fn the_compression_is_what_accept_encoding_likes_best() {
        use Encoding::{Gzip, Identity, Zstd};
        for (accept, expected) in [
            ("", Identity),
            ("identity", Identity),
            ("br", Identity),
            ("gzip", Gzip),
            ("x-gzip", Gzip),
            ("gzip, deflate, br, zstd", Zstd),
            ("gzip;q=1.0, zstd;q=0.9", Gzip),
            ("zstd;q=0, gzip;q=0.1", Gzip),
            ("gzip;q=0", Identity),
            ("*", Zstd),
            ("*;q=0", Identity),
            ("identity;q=1, gzip;q=0.5", Identity),
            ("GZIP", Gzip),
        ] {
            assert_eq!(encoding(&headers(header::ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert_eq!(encoding(&HeaderMap::new()), Identity);
    }

    #[test]
    fn sections_come_in_the_order_of_their_first_mention() {
        use ExportSection::{Audit, Runs};
        assert_eq!(sections("runs,audit,runs"), Some(vec![Runs, Audit]));
        for bad in ["", ",", "runs,", "Runs", "runs, audit", "secrets"] {
            assert_eq!(sections(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_files_name_does_no_harm() {
        for (name, expected) in [
            ("Sales Europe", "Sales Europe"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("C:\\x\u{202e}gpj.exe", "C__xgpj.exe"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie_ x"),
            ("...", ""),
            ("日本 🚢", "日本 🚢"),
        ] {
            assert_eq!(harmless(name), expected);
        }
        assert_eq!(harmless(&"x".repeat(500)).len(), NAME_MAX);
    }
}
