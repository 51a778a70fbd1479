//! Handlers around handlers: each does one thing to any [`Handler`](super::Handler), and they nest.
//!
//! ```
//! use shroud_ghostwire::http::{Bearer, Compressed, Router, SecurityHeaders, handler_fn, text};
//!
//! let routes = Router::new().get("/", handler_fn(|_| async { text("hello") }));
//! let handler = SecurityHeaders::new(Compressed::new(Bearer::new(routes, ["a long secret"])));
//! ```

mod bearer;
mod compress;
pub(super) mod encoding;
mod logged;
mod rate;
mod security;
mod time_limit;

pub use bearer::Bearer;
pub use compress::Compressed;
pub use logged::Logged;
pub use rate::{RateLimited, RateLimitedBy};
pub use security::{SecurityHeaders, SecurityOptions};
pub use time_limit::TimeLimited;
