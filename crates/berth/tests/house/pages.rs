//! The pages for people: what one links to is there.

use std::path::Path;

use crate::{files_below, none, read, root};

/// Targets of `[text](target)` that are paths, without their fragment.
fn targets(text: &str) -> Vec<&str> {
    let after = text.split("](").skip(1);
    after
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with('/'))
        .collect()
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let mut pages = files_below("docs", &["md"]);
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned));
    let mut dead = Vec::new();
    for page in &pages {
        let folder = root().join(page);
        let folder = folder.parent().unwrap_or(Path::new("."));
        let text = read(page);
        dead.extend(targets(&text).into_iter().filter(|t| !folder.join(t).exists()).map(|t| format!("{page} → {t}")));
    }
    assert!(targets("see [a](b/c.md#d) and [e](https://f)") == ["b/c.md"]);
    none("a page links to nothing", &dead);
}
