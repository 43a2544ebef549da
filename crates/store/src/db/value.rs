//! What may cross between Rust and the two databases: only types that both drivers know at compile time.
//!
//! Times are `timestamptz` on PostgreSQL and whole microseconds on SQLite; uuids `uuid` and 16 bytes; JSON `jsonb` and
//! text. A NUL in a text, which PostgreSQL cannot hold, is U+FFFD on both.

use std::borrow::Cow;
use std::fmt::Display;

use saga::Time;
use serde_json::{Value, json};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::types::Json;
use sqlx::{Arguments as _, ColumnIndex, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;

pub(super) const REPLACEMENT: &str = "\u{FFFD}";

/// The values of one execution of a statement.
pub enum Arguments {
    Postgres(PgArguments),
    Sqlite(SqliteArguments),
}

/// A value that both databases can take.
pub trait Bind {
    /// # Errors
    /// The driver cannot encode the value.
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError>;
}

/// A value that both databases can give.
pub trait Column: Sized {
    /// # Errors
    /// There is no such column, or it holds something else.
    fn get(row: &Row, place: impl Place) -> Result<Self, sqlx::Error>;
}

/// Where in a row a value stands: its column's name, or how many columns are before it.
pub trait Place: ColumnIndex<PgRow> + ColumnIndex<SqliteRow> + Display + Copy {}

impl Place for &str {}
impl Place for usize {}

pub enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    /// # Errors
    /// There is no such column, or it holds something else: a fault of ours.
    pub fn get<T: Column>(&self, place: impl Place) -> Result<T, Error> {
        T::get(self, place).map_err(Error::from)
    }

    /// A text as it stands in the row.
    ///
    /// # Errors
    /// As [`Row::get`].
    fn text(&self, place: impl Place) -> Result<Option<&str>, Error> {
        let read = match self {
            Self::Postgres(row) => row.try_get(place),
            Self::Sqlite(row) => row.try_get(place),
        };
        read.map_err(Error::from)
    }

    /// A column of one of our closed sets of words.
    ///
    /// # Errors
    /// As [`Row::get`]; and if the word is none of the set.
    pub fn word<T>(&self, place: impl Place, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        self.optional_word(place, parse)?.ok_or_else(|| Error::broken(format!("column {place} is empty")))
    }

    /// # Errors
    /// As [`Row::word`].
    pub fn optional_word<T>(&self, place: impl Place, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(word) = self.text(place)? else { return Ok(None) };
        parse(word).map(Some).ok_or_else(|| Error::broken(format!("column {place} holds the unknown word {word:?}")))
    }

    /// A JSON column, as what it was made from.
    ///
    /// # Errors
    /// As [`Row::get`]; and if the JSON has another shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self, place: impl Place) -> Result<T, Error> {
        self.optional_json(place)?.ok_or_else(|| Error::broken(format!("column {place} is empty")))
    }

    /// # Errors
    /// As [`Row::json`].
    pub fn optional_json<T: serde::de::DeserializeOwned>(&self, place: impl Place) -> Result<Option<T>, Error> {
        let read = match self {
            Self::Postgres(row) => row.try_get::<Option<Json<T>>, _>(place),
            Self::Sqlite(row) => row.try_get::<Option<Json<T>>, _>(place),
        };
        Ok(read.map_err(|e| Error::broken(format!("column {place}: {e}")))?.map(|Json(value)| value))
    }

    /// # Errors
    /// As [`Row::get`]; and if the number is negative or too large.
    pub fn count<T: TryFrom<i64>>(&self, place: impl Place) -> Result<T, Error> {
        let number: i64 = self.get(place)?;
        T::try_from(number).map_err(|_| Error::broken(format!("column {place} holds {number}, which is out of range")))
    }
}

/// A row's values one after the other, for rows that are read often: to find a column by its name costs as much as to read it.
pub struct Cells<'r> {
    row: &'r Row,
    next: usize,
}

impl Row {
    pub fn cells(&self) -> Cells<'_> {
        Cells { row: self, next: 0 }
    }
}

impl Cells<'_> {
    fn place(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// Whether the next value is not there; it remains the next one.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn is_null<T>(&self) -> Result<bool, Error>
    where
        Option<T>: Column,
    {
        Ok(self.row.get::<Option<T>>(self.next)?.is_none())
    }

    /// # Errors
    /// As [`Row::get`].
    pub fn get<T: Column>(&mut self) -> Result<T, Error> {
        self.row.get(self.place())
    }

    /// # Errors
    /// As [`Row::word`].
    pub fn word<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        self.row.word(self.place(), parse)
    }

    /// # Errors
    /// As [`Row::word`].
    pub fn optional_word<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        self.row.optional_word(self.place(), parse)
    }

    /// # Errors
    /// As [`Row::json`].
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.row.json(self.place())
    }

    /// # Errors
    /// As [`Row::json`].
    pub fn optional_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        self.row.optional_json(self.place())
    }

    /// # Errors
    /// As [`Row::count`].
    pub fn count<T: TryFrom<i64>>(&mut self) -> Result<T, Error> {
        self.row.count(self.place())
    }
}

macro_rules! bind {
    ($($type:ty),+) => {$(
        impl Bind for $type {
            fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
                match to {
                    Arguments::Postgres(to) => to.add(self),
                    Arguments::Sqlite(to) => to.add(self),
                }
            }
        }
    )+};
}

macro_rules! column {
    ($($type:ty),+) => {$(
        impl Column for $type {
            fn get(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
                match row {
                    Row::Postgres(row) => row.try_get(place),
                    Row::Sqlite(row) => row.try_get(place),
                }
            }
        }
    )+};
}

bind!(bool, i16, i64, Uuid, Vec<u8>, &[u8]);
bind!(Option<bool>, Option<i64>, Option<Uuid>, Option<Cow<'_, str>>);
column!(bool, i16, i64, String, Uuid, Vec<u8>, Value);
column!(Option<i64>, Option<String>, Option<Uuid>, Option<Vec<u8>>, Option<Value>);

impl Bind for Option<&str> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        self.map(|text| if text.contains('\0') { Cow::Owned(text.replace('\0', REPLACEMENT)) } else { Cow::Borrowed(text) }).add(to)
    }
}

impl Bind for &str {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        Some(self).add(to)
    }
}

impl Bind for Option<String> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        self.as_deref().add(to)
    }
}

impl Bind for String {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        self.as_str().add(to)
    }
}

impl Bind for Option<Value> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        let value = self.map(without_nul);
        match to {
            Arguments::Postgres(to) => to.add(value),
            Arguments::Sqlite(to) => to.add(value),
        }
    }
}

impl Bind for Value {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        Some(self).add(to)
    }
}

impl Bind for Option<Time> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        match to {
            Arguments::Postgres(to) => to.add(self.map(timestamp)),
            Arguments::Sqlite(to) => to.add(self.map(Time::micros)),
        }
    }
}

impl Bind for Time {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        Some(self).add(to)
    }
}

impl Column for Option<Time> {
    fn get(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
        match row {
            Row::Postgres(row) => Ok(row.try_get::<Option<OffsetDateTime>, _>(place)?.map(time)),
            Row::Sqlite(row) => Ok(row.try_get::<Option<i64>, _>(place)?.map(Time::from_micros)),
        }
    }
}

impl Column for Time {
    fn get(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
        Option::<Self>::get(row, place)?.ok_or_else(|| sqlx::Error::ColumnNotFound(place.to_string()))
    }
}

/// Ids of rows of tenant tables, with their buckets, as one value that a statement can join with
/// (`jsonb_to_recordset($1) as k(bucket smallint, id uuid)`; `json_each($1)`).
pub struct Keys(Value);

impl Keys {
    pub fn new(ids: impl IntoIterator<Item = Uuid>) -> Self {
        Self(ids.into_iter().map(|id| json!({"bucket": domain::ids::bucket(id), "id": id.simple().to_string()})).collect())
    }
}

impl Bind for Keys {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        self.0.add(to)
    }
}

impl Bind for Option<Keys> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        self.map(|keys| keys.0).add(to)
    }
}

pub(super) fn timestamp(time: Time) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.micros()) * 1_000).unwrap_or(
        // Farther away than either database can say: as far as they can.
        time::macros::datetime!(9999-12-31 23:59:59 UTC),
    )
}

fn time(timestamp: OffsetDateTime) -> Time {
    Time::from_micros(i64::try_from(timestamp.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX))
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', REPLACEMENT)),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name.replace('\0', REPLACEMENT), without_nul(value))).collect())
        }
        other => other,
    }
}
