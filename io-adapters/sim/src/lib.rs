//! The simulated world behind the seam: everything that a task may ask of it comes from a seed.
//!
//! A [`Universe`] has virtual time, hosts with clocks and [disks](disk), and a network between them; [`SimIo`] is one host's
//! view of it, an adapter like those of real kernels. Nothing here polls tasks: whoever does lets time pass
//! ([`Universe::spend`], [`Universe::fire_due`], [`Universe::fire_next`]).
//!
//! Everything that happens is hashed ([`Universe::hash`]) and, when asked for, recorded ([`Recording`]), so that two runs of
//! one seed can be compared and the first difference be named ([`first_difference`]).
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![deny(unsafe_code)]

mod alarm;
mod arena;
pub mod chance;
mod clock;
pub mod disk;
mod errors;
mod event;
mod file;
mod host;
mod io;
pub mod memory;
mod network;
mod trace;
mod universe;

pub use alarm::SimAlarm;
pub use clock::ClockSkew;
pub use file::{BlockingDisk, SimFile};
pub use host::{HostConfig, HostId};
pub use io::SimIo;
pub use network::datagram::{CAPABILITIES as DATAGRAM_CAPABILITIES, SimSocket};
pub use network::link::LinkConfig;
pub use network::tcp::{SimListener, SimStream};
pub use trace::{Divergence, Kind, Record, Recording, first_difference};
pub use universe::{Census, Universe, UniverseConfig};
