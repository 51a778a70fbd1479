//! Static files: a directory served over every HTTP version.

mod body;
mod condition;
mod content_type;
mod handler;
mod path;
mod range;

pub use handler::{FileOptions, Files};
