//! SQL texts. A statement is one text for both databases, or two side by side; it can only be declared through
//! [`statements!`], which also lists it, so that one test prepares every statement of the store on both databases.

/// SQL for both databases.
#[derive(Debug)]
pub struct Statement {
    pub(super) name: &'static str,
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

impl Statement {
    /// The same text on both: values are bound, nothing is computed by the database that the two would compute differently.
    #[must_use]
    pub const fn shared(name: &'static str, text: &'static str) -> Self {
        Self { name, postgres: text, sqlite: text }
    }

    #[must_use]
    pub const fn split(name: &'static str, postgres: &'static str, sqlite: &'static str) -> Self {
        Self { name, postgres, sqlite }
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The two texts: PostgreSQL's, SQLite's.
    #[must_use]
    pub fn texts(&self) -> [&'static str; 2] {
        [self.postgres, self.sqlite]
    }
}

/// Declares statements, and `STATEMENTS`, the list of them. A module whose list nobody collects is reported as dead code.
#[macro_export]
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident = $how:ident($($text:expr),+ $(,)?);)+) => {
        $($(#[$meta])* static $name: $crate::db::Statement =
            $crate::db::Statement::$how(concat!(module_path!(), "::", stringify!($name)), $($text),+);)+
        /// Every statement of this module.
        pub(crate) static STATEMENTS: &[&$crate::db::Statement] = &[$(&$name),+];
    };
}

/// The text of eight rows of parameters, doubled as often as the number says, 0 to 3, with commas between.
#[macro_export]
macro_rules! doubled {
    (0, $row:expr) => {
        concat!($row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row)
    };
    (1, $row:expr) => {
        concat!($crate::doubled!(0, $row), ", ", $crate::doubled!(0, $row))
    };
    (2, $row:expr) => {
        concat!($crate::doubled!(1, $row), ", ", $crate::doubled!(1, $row))
    };
    (3, $row:expr) => {
        concat!($crate::doubled!(2, $row), ", ", $crate::doubled!(2, $row))
    };
}
