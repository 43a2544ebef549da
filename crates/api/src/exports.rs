//! Exports: how rows become text, how text becomes a stream, and the receipt of it.
//!
//! A record is worded here as everywhere in this API, once, as JSON; NDJSON and JSON pass that text on, and CSV spreads it
//! over columns. An audit entry is passed on as it is stored.

mod columns;
mod compression;
mod csv;
pub mod get;
mod negotiation;
mod records;
mod render;
mod stream;

use std::time::Duration;

use domain::model::ExportFormat;

pub use negotiation::{Encoding, disposition, encoding, format, media_type, sections};
pub use records::ExportDocument;
pub use stream::{Delivery, open};

/// How exports are served.
#[derive(Debug, Clone, Copy)]
pub struct ExportOptions {
    /// Where neither `format` nor `Accept` says.
    pub default_format: ExportFormat,
    /// The longest that a reader may take over a piece.
    pub slow_reader_timeout: Duration,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { default_format: ExportFormat::Csv, slow_reader_timeout: Duration::from_mins(1) }
    }
}
