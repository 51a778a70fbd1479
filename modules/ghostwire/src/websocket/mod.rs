//! WebSocket servers and clients: the machine of `shroud-websocket`, driven over any connection.
//!
//! A server routes a path to [`serve`]; its function gets a [`WebSocket`] for each client and runs in the connection's
//! own task, so that it counts in the HTTP server's limits and is told of a stop by a close frame (1001). A client
//! calls [`connect`].
//!
//! ```
//! use shroud_ghostwire::http::Router;
//! use shroud_ghostwire::websocket::{self, Options};
//!
//! let router = Router::new().get("/echo", websocket::serve(Options::default(), |mut socket, _| async move {
//!     while let Ok(Some(message)) = socket.receive().await {
//!         if socket.feed(message).await.is_err() {
//!             break;
//!         }
//!     }
//! }));
//! ```

mod client;
mod handler;
mod metrics;
mod socket;
mod split;

pub use client::{ConnectError, ConnectTo, connect};
pub use handler::{Opened, Options, WebSocketHandler, serve};
pub use metrics::Metrics;
pub use shroud_websocket::deflate::{Codecs, Compression};
pub use shroud_websocket::handshake::{Origins, Policy};
pub use shroud_websocket::{CloseCode, CloseFrame, End, Error, Event, Message, Settings, Text};
pub use socket::{Closed, WebSocket};
pub use split::{Receiver, Sender};
