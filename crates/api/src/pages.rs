//! Lists on the wire: a bare array, and a `Link` to the next page.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::workspaces::read::Listed;
use http::header;
use serde::Serialize;
use utoipa::IntoParams;

use crate::cursor::Key;
use crate::query::Listing;

/// Items of a page, where the request does not say.
pub const LIMIT_DEFAULT: u32 = 100;

/// The parameters that every list takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `Query` takes")]
pub struct Paging {
    /// The most items of a page.
    #[param(minimum = 1, maximum = 1000, default = 100, nullable = false, required = false, example = 100)]
    limit: Option<u32>,
    /// Where the page starts; taken from the `Link` header of the page before, and good for the same filters only.
    #[param(nullable = false, required = false)]
    cursor: Option<String>,
}

pub fn answer<T, W: Serialize + From<T>>(listed: Listed<T>, listing: &Listing) -> Response {
    let next = listed.next.map(Key::Id);
    items(listed.items.into_iter().map(W::from).collect(), next, listing)
}

pub fn items<W: Serialize>(items: Vec<W>, next: Option<Key>, listing: &Listing) -> Response {
    let mut response = Json(items).into_response();
    if let Some(link) = next.and_then(|key| listing.next(key)) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}
