//! Data platforms that backend workspaces are made on.

pub mod faulty;
pub mod local;

pub use faulty::{Faulty, Rates};
pub use local::Local;
