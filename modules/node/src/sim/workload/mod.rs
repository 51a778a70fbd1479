//! The clients: real wallets and real HTTP clients over the seam, generic over the runtime.
//!
//! | module | what is inside |
//! |---|---|
//! | [`accounts`] | who holds what in the beginning |
//! | [`client`] | a client of the ledger that notes what it does and is told |
//! | [`observer`] | the client that comes last and reads the whole chain |
//! | [`monitor`] | the highest of each of the node's gauges |
//! | [`echo`] | an HTTP server that answers what it was sent, and clients that hold it to that |
//! | [`tls`] | TLS in front of that server, and its clients' end of it, with keys from the seed |
//! | [`slow`] | clients that send and read as slowly as they like |

pub mod accounts;
pub mod client;
pub mod echo;
pub mod monitor;
pub mod observer;
pub mod slow;
pub mod tls;
