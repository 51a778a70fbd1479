//! What a run leaves behind for the oracles.

use super::model::{AccountModel, LedgerModel, LedgerOperation, Receipt, Submit};
use shroud_crypto::{Address, Hash};
use std::collections::BTreeMap;
use std::time::Duration;

/// A transaction of the final chain, as the node tells it after everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Which.
    pub hash: Hash,
    /// Who signed it.
    pub from: Address,
    /// Its nonce.
    pub nonce: u64,
    /// At which place of its block.
    pub index: u32,
    /// Its block, and what became of it.
    pub receipt: Receipt,
}

/// The final state of a run's chain, read by a client that came after all others, and the audit of its journal.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// All transactions in the committed order.
    pub committed: Vec<Committed>,
    /// All accounts that anyone named, and the one that earns the fees.
    pub accounts: BTreeMap<Address, AccountModel>,
    /// The counters that anyone used.
    pub counters: BTreeMap<Address, u64>,
    /// Height and state commitment, as the node says.
    pub tip: (u64, Hash),
    /// Answers that contradict each other.
    pub odd: Vec<String>,
    /// What an audit of the stopped node's journal found: height, commitment, transactions.
    pub audit: Option<Result<(u64, Hash, u64), String>>,
}

/// Something that was counted and has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What.
    pub what: String,
    /// The most that was seen.
    pub seen: u64,
    /// The most that there may be.
    pub limit: u64,
}

/// When the faults ended and what was left to do then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the last fault ended.
    pub healed: Duration,
    /// When the last client had all its answers; `None`: some never had.
    pub finished: Option<Duration>,
    /// How long it may take from one to the other.
    pub allowed: Duration,
    /// Clients that were not done at the end.
    pub unfinished: usize,
}

/// What is known of a run in which the node need not survive.
#[derive(Clone, Debug, Default)]
pub struct Beyond {
    /// What the node said when it ended or refused to open, and what it answered instead of a result.
    pub refusals: Vec<String>,
    /// From when to when, since the beginning, syncs were acknowledged and not done.
    pub lied: Vec<(Duration, Duration)>,
}

/// All that the oracles look at.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The rules of this run's ledger.
    pub model: LedgerModel,
    /// What clients did and were told.
    pub history: Vec<LedgerOperation>,
    /// Everything that was ever signed, by hash.
    pub requested: BTreeMap<Hash, Submit>,
    /// The chain in the end; `None` when the scenario has none.
    pub chain: Option<Chain>,
    /// Liveness.
    pub progress: Progress,
    /// What is left after a clean stop, against what there was before the start.
    pub leaks: Vec<Measured>,
    /// Queues and counters against their limits.
    pub limits: Vec<Measured>,
    /// Where faults went beyond what the node claims to survive; `None`: nowhere.
    pub beyond: Option<Beyond>,
    /// Tasks that panicked, servers that answered wrongly, deadlocks: whatever was reported and should not have been.
    pub broken: Vec<String>,
}
