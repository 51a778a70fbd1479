//! The backends, by name: where an executor and an I/O adapter become one [`Runtime`](shroud_runtime::Runtime).
//!
//! Each backend is a value of a type of its own ([`Backend`]), so a program that names one pays for no dispatch. To
//! choose by name at run time, write what shall happen as a [`Visit`] and hand it to [`with_backend`].
//!
//! | name | type | feature |
//! |---|---|---|
//! | `tokio` | [`tokio::Tokio`] | `tokio` |
//! | `tokio-per-core` | [`tokio::TokioPerCore`] | `tokio` |
//! | `smol` | [`smol::Smol`] | `smol` |
//! | `smol-per-core` | [`smol::SmolPerCore`] | `smol` |
//! | `tokio+async-io` | [`matched::TokioAsyncIo`] | `tokio` and `smol` |
//! | `glommio` | [`glommio::Glommio`] | `glommio` |
//! | `sim` | [`sim::Sim`] | `sim` |
//!
//! `sim` is a simulated world: it has no real network and no real files, so nothing is served or measured on it ([`REAL`]
//! are those that can).

#[cfg(feature = "glommio")]
pub mod glommio;
#[cfg(all(feature = "tokio", feature = "smol"))]
pub mod matched;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(any(feature = "tokio", feature = "smol", feature = "glommio"))]
#[cfg_attr(
    not(any(feature = "tokio", feature = "smol")),
    allow(dead_code, reason = "glommio alone has no work-stealing shard")
)]
mod host;
#[cfg(all(test, any(feature = "tokio", feature = "smol")))]
mod tests;

use shroud_runtime::Backend;

/// All backends, built in or not, in the order in which reports list them.
pub const NAMES: [&str; 7] =
    ["tokio", "tokio-per-core", "smol", "smol-per-core", "tokio+async-io", "glommio", SIMULATED];

/// Those that a node can serve on: all but the simulated one.
pub const REAL: [&str; 6] = ["tokio", "tokio-per-core", "smol", "smol-per-core", "tokio+async-io", "glommio"];

/// The backend whose network and files are not real.
pub const SIMULATED: &str = "sim";

/// What to do with a backend, whichever it is.
pub trait Visit {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<B: Backend>(self, backend: B) -> Self::Output;
}

/// There is no such backend in this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownBackend {
    /// There is one, but this program was built without it.
    #[error("backend {name} is not built in; build with --features {features}")]
    NotBuiltIn {
        /// The backend's name.
        name: &'static str,
        /// The features that bring it.
        features: &'static str,
    },
    /// There is none.
    #[error("there is no backend {0:?}; choose one of {all}", all = NAMES.join(", "))]
    NoSuchName(String),
}

/// Hands the backend called `name` to `visitor`.
///
/// # Errors
/// [`UnknownBackend`] when there is none, or this program was built without it.
pub fn with_backend<V: Visit>(name: &str, visitor: V) -> Result<V::Output, UnknownBackend> {
    match name {
        #[cfg(feature = "tokio")]
        "tokio" => Ok(visitor.visit(tokio::Tokio)),
        #[cfg(feature = "tokio")]
        "tokio-per-core" => Ok(visitor.visit(tokio::TokioPerCore)),
        #[cfg(feature = "smol")]
        "smol" => Ok(visitor.visit(smol::Smol)),
        #[cfg(feature = "smol")]
        "smol-per-core" => Ok(visitor.visit(smol::SmolPerCore)),
        #[cfg(all(feature = "tokio", feature = "smol"))]
        "tokio+async-io" => Ok(visitor.visit(matched::TokioAsyncIo)),
        #[cfg(feature = "glommio")]
        "glommio" => Ok(visitor.visit(glommio::Glommio)),
        #[cfg(feature = "sim")]
        SIMULATED => Ok(visitor.visit(sim::Sim::default())),
        other => Err(missing(other)),
    }
}

fn missing(name: &str) -> UnknownBackend {
    match NAMES.into_iter().find(|known| *known == name) {
        Some(name) => UnknownBackend::NotBuiltIn { name, features: features_of(name) },
        None => UnknownBackend::NoSuchName(name.to_owned()),
    }
}

/// The features that bring a backend.
fn features_of(name: &'static str) -> &'static str {
    match name {
        "tokio-per-core" => "tokio",
        "smol-per-core" => "smol",
        "tokio+async-io" => "tokio,smol",
        same => same,
    }
}
