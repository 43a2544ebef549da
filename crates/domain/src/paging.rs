//! Pages that are filled although rights hide some rows.
//!
//! A page never shows what the caller may not see, and following `next` always comes to the end: where a stretch of rows
//! is hidden, reading goes on behind it, and after a bounded number of rows the page is given as far as it got.

use async_trait::async_trait;
use uuid::Uuid;

use crate::Error;
use crate::ports::Page;

/// A page of a list; `next` is the key that the following page starts after.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub next: Option<Uuid>,
}

/// The most rows of a page.
pub const LIMIT_MAX: u32 = 1000;
/// How often a page reads on behind hidden rows, and how much at once.
const ROUNDS_MAX: u32 = 10;
const READ_ON: u32 = 200;

/// Rows in key order, and which of them the caller may see.
#[async_trait]
pub(crate) trait Source: Sync {
    type Row: Send;

    fn key(row: &Self::Row) -> Uuid;
    async fn fetch(&self, page: Page) -> Result<Vec<Self::Row>, Error>;
    /// One answer per row, asked in bulk.
    async fn visible(&self, rows: &[Self::Row]) -> Result<Vec<bool>, Error>;
}

pub(crate) async fn fill<S: Source>(source: &S, page: Page) -> Result<Listed<S::Row>, Error> {
    let limit = page.limit.clamp(1, LIMIT_MAX);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut last = page.after;
    for round in 0..ROUNDS_MAX {
        // One more than wanted tells whether there is a next page.
        let ask = if round == 0 { limit + 1 } else { READ_ON.max(limit + 1) };
        let rows = source.fetch(Page { after: last, limit: ask }).await?;
        let is_end = rows.len() < usize::try_from(ask).unwrap_or(usize::MAX);
        let visible = source.visible(&rows).await?;
        for (row, visible) in rows.into_iter().zip(visible) {
            if items.len() == wanted {
                return Ok(Listed { items, next: last });
            }
            last = Some(S::key(&row));
            if visible {
                items.push(row);
            }
        }
        if is_end {
            return Ok(Listed { items, next: None });
        }
    }
    Ok(Listed { items, next: last })
}

#[cfg(test)]
mod tests;
