//! How a call ended.

use shroud_crypto::{Address, Hash};

/// The end of a call: what it cost and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Gas used, at most the limit; the whole limit when it ran out.
    pub gas_used: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// What the contract logged for its author. Not part of any receipt.
    pub debug_log: Vec<String>,
}

/// What came of a call. Only after `Success` may its effects stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The contract returned.
    Success {
        /// The bytes that it set as its output.
        output: Vec<u8>,
        /// The events, in the order of their emission.
        events: Vec<Event>,
    },
    /// The contract refused the call.
    Revert {
        /// The bytes that it gave as its reason.
        reason: Vec<u8>,
    },
    /// The gas limit was reached.
    OutOfGas,
    /// The contract wanted more memory than [`MAX_MEMORY_PAGES`](crate::limits::MAX_MEMORY_PAGES).
    OutOfMemory,
    /// The contract has no function for this input.
    InvalidFunction {
        /// The selector that it did not know.
        selector: u32,
    },
    /// The contract broke a rule of WebAssembly or of the host interface, or aborted.
    Trap {
        /// Which rule, or the message of the abort.
        message: String,
    },
    /// The driver's deadline passed. Only view calls have one.
    Timeout,
}

impl Verdict {
    /// Whether the call's effects may stay.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success { .. })
    }

    /// A short name, the same for all calls that ended this way.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Success { .. } => "success",
            Self::Revert { .. } => "revert",
            Self::OutOfGas => "out of gas",
            Self::OutOfMemory => "out of memory",
            Self::InvalidFunction { .. } => "invalid function",
            Self::Trap { .. } => "trap",
            Self::Timeout => "timeout",
        }
    }
}

/// Something that a contract tells the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The contract that emitted it.
    pub contract: Address,
    /// What readers search by: at most [`MAX_EVENT_TOPICS`](crate::limits::MAX_EVENT_TOPICS).
    pub topics: Vec<Hash>,
    /// The rest, in the contract's own encoding.
    pub data: Vec<u8>,
}
