//! The engine of `shroud compare`: the same work against every backend, in rotated rounds.
//!
//! Each run is a fresh process in a fresh directory. The first backend runs twice in each round: what it differs by from
//! itself is the noise floor. All runs must end in the same state commitment, or the comparison has failed.

mod error;
mod machine;
mod options;
mod progress;
mod rounds;
mod server;
mod slot;
mod transports;

pub use error::CompareError;
pub use options::Options;

use crate::report::Report;
use crate::transport::Drive;

/// Compares the backends; progress goes to standard error. `client` polls what asks over QUIC; without one, a node's workloads are
/// all there is.
///
/// A report with [`Report::failures`] is a comparison that failed: it is complete as far as it went and worth writing.
///
/// # Errors
/// When nothing could be compared at all: no backend, no directory, a node that does not start on the first backend.
pub fn compare(options: &Options, client: Option<&dyn Drive>) -> Result<Report, CompareError> {
    rounds::run(options, client)
}
