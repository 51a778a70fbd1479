//! Faults that are planted on purpose, to see that the simulator finds them.
//!
//! Crates depend on this only under their feature `planted-faults`, which no default has. Even then every fault sleeps until a
//! simulation [`plant`]s it, for its own thread. `docs/simulation.md` lists which oracle caught which.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

use std::cell::Cell;

/// A mistake that someone could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The journal is synced before a record is written, not after: what is acknowledged may not be on the disk.
    AcknowledgeBeforeSync,
    /// Recovery takes a record for whole without looking at its checksum.
    SkipTornTailCheck,
    /// A transaction whose nonce is used already is applied once more.
    ApplyTwiceOnRetry,
    /// The writer is not woken for one transaction in eight, and thinks that it need not be woken for the next.
    LoseWakeUp,
    /// A connection whose client has nothing more to send is closed before it is answered.
    DropOnHalfClose,
    /// A transaction whose nonce is ahead is applied at once.
    WrongNonceOrder,
    /// Readers see blocks whose sync has not returned.
    ReadUncommitted,
    /// The journal's directories are made and their names never synced. The simulator's first find, before it was mended.
    ForgetDirectories,
    /// After a restart the journal's last record counts as durable although its sync had failed. The second find.
    TrustLastRecord,
    /// A transaction is refused because of a block that is not durable yet, and at once. The third find.
    RefuseUncommitted,
    /// Some memory of each transaction that is included is never given back.
    LeakMemory,
}

/// All of them.
pub const FAULTS: [Fault; 11] = [
    Fault::AcknowledgeBeforeSync,
    Fault::SkipTornTailCheck,
    Fault::ApplyTwiceOnRetry,
    Fault::LoseWakeUp,
    Fault::DropOnHalfClose,
    Fault::WrongNonceOrder,
    Fault::ReadUncommitted,
    Fault::ForgetDirectories,
    Fault::TrustLastRecord,
    Fault::RefuseUncommitted,
    Fault::LeakMemory,
];

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Wakes one fault on this thread, or none.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

/// Whether a fault is awake on this thread.
#[must_use]
pub fn is_planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_sleep_until_planted_and_on_other_threads() {
        assert!(FAULTS.iter().all(|fault| !is_planted(*fault)));
        plant(Some(Fault::LoseWakeUp));
        assert!(is_planted(Fault::LoseWakeUp) && !is_planted(Fault::DropOnHalfClose));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_planted(Fault::LoseWakeUp)));
        });
        plant(None);
        assert!(!is_planted(Fault::LoseWakeUp));
    }
}
