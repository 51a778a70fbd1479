//! The machine as its users meet it. To add a story: make a [`pair::Pair`], let one side act, `pump` it, and say what
//! the other side saw. To add a case of the published list: a line in `autobahn`.
#![allow(clippy::disallowed_methods, reason = "any instant will do")]

mod autobahn;
mod compression;
mod handshake;
mod limits;
mod pair;
mod properties;
mod times;
