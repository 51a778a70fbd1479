//! The published gas schedule of contract calls.
//!
//! The interpreter counts *fuel*: one unit for a plain WebAssembly operator (`call` and `call_indirect` cost
//! [`CALL_FUEL`]), and one for each 64 bytes that `memory.grow`, `memory.copy`, `memory.fill` and `memory.init` touch.
//! Four units of fuel are one gas. Host functions cost what this file says, in gas. A call's gas is its fuel divided by
//! [`FUEL_PER_GAS`], rounded up; a call that runs out of gas costs its whole limit.

/// The schedule's version. Any change of a number here, of the operators' fuel or of the interpreter's way of counting it is a
/// new version: replicas that disagree on it disagree on the state.
pub const SCHEDULE_VERSION: u32 = 1;

/// Units of fuel in one gas. A unit of fuel takes about a nanosecond, so that a gas takes about as long as on other chains.
pub const FUEL_PER_GAS: u64 = 4;

/// Fuel of a `call` or `call_indirect`: the frame, and clearing up to [`MAX_LOCALS`](crate::limits::MAX_LOCALS) locals.
pub const CALL_FUEL: u8 = 16;

/// Gas for starting a call: a fresh instance of the module.
pub const INSTANCE: u64 = 800;

/// Gas for each page of 64 KiB of the memory that the module starts with: the same as growing by a page.
pub const INSTANCE_PAGE: u64 = 256;

/// Bytes of module code that one gas of starting a call covers: functions, exports and data segments are set up anew.
pub const INSTANCE_CODE_BYTES_PER_GAS: u64 = 32;

/// Gas of any host function, before what is listed for it.
pub const HOST_CALL: u64 = 5;

/// Bytes that a host function copies for one gas.
pub const COPY_BYTES_PER_GAS: u64 = 64;

/// Gas for loading a storage entry, whether it exists or not.
pub const STORAGE_LOAD: u64 = 300;

/// Gas for storing an entry.
pub const STORAGE_STORE: u64 = 2_000;

/// Gas for each byte of a stored entry's key and value: it is kept for ever.
pub const STORAGE_BYTE: u64 = 5;

/// Gas for removing an entry.
pub const STORAGE_REMOVE: u64 = 1_000;

/// Gas for reading a balance.
pub const BALANCE: u64 = 300;

/// Gas for a transfer out of the contract.
pub const TRANSFER: u64 = 5_000;

/// Gas of an event.
pub const EVENT: u64 = 375;

/// Gas of each topic of an event.
pub const EVENT_TOPIC: u64 = 375;

/// Gas of each byte of an event's data.
pub const EVENT_BYTE: u64 = 8;

/// Gas of a hash.
pub const HASH: u64 = 30;

/// Gas of each 32 bytes hashed by Keccak-256, rounded up.
pub const KECCAK256_WORD: u64 = 15;

/// Gas of each 32 bytes hashed by SHA-256, rounded up.
pub const SHA256_WORD: u64 = 10;

/// Gas of recovering an address from a secp256k1 signature.
pub const ECRECOVER: u64 = 15_000;

/// Gas of verifying an Ed25519 signature, besides its message, which is paid for as hashed by SHA-256.
pub const ED25519_VERIFY: u64 = 15_000;

/// Gas of a line of debug log.
pub const DEBUG_LOG: u64 = 50;

/// Gas for each byte of code that a deployment compiles and keeps.
pub const DEPLOY_BYTE: u64 = 20;

/// The gas that `fuel` units cost, rounded up.
pub const fn from_fuel(fuel: u64) -> u64 {
    fuel.div_ceil(FUEL_PER_GAS)
}

/// The fuel that `gas` buys.
pub const fn to_fuel(gas: u64) -> u64 {
    gas.saturating_mul(FUEL_PER_GAS)
}

/// The gas of copying `bytes` between the host and a contract's memory.
pub(crate) const fn copying(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(COPY_BYTES_PER_GAS)
}

/// The gas of hashing `bytes` at `word` gas for each 32 of them.
pub(crate) const fn hashing(bytes: usize, word: u64) -> u64 {
    HASH.saturating_add((bytes as u64).div_ceil(32).saturating_mul(word))
}
