//! What a Shroud contract written in Rust needs: the host functions behind safe wrappers, and [`contract!`].
//!
//! A contract is a `no_std` `cdylib` for `wasm32-unknown-unknown`:
//!
//! ```ignore
//! #![no_std]
//! use shroud_contract::{contract, input, output, invalid_function};
//!
//! contract!(init, call);
//!
//! fn init() {}
//!
//! fn call() {
//!     let mut input = input::<1>();
//!     match input.byte() {
//!         0x00 => output(b"hello"),
//!         selector => invalid_function(selector),
//!     }
//! }
//! ```
//!
//! Nothing here allocates: buffers have sizes known at compile time. `docs/contracts.md` describes the interface itself.
#![no_std]

mod host;
mod input;

pub use input::{Input, input};

/// An account or a contract.
pub type Address = [u8; 20];

/// A 32-byte hash or event topic.
pub type Hash = [u8; 32];

/// Defines the functions that a contract exports: the first runs once when it is deployed, the second on each call.
#[macro_export]
macro_rules! contract {
    ($init:path, $call:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn shroud_init() {
            $init()
        }

        #[unsafe(no_mangle)]
        extern "C" fn shroud_call() {
            $call()
        }
    };
}

/// Who called.
pub fn caller() -> Address {
    address(host::caller)
}

/// Who signed the transaction.
pub fn origin() -> Address {
    address(host::origin)
}

/// The contract itself.
pub fn self_address() -> Address {
    address(host::self_address)
}

/// What came with the call: the asset's number and the amount in base units.
pub fn value() -> (u32, u128) {
    let mut amount = [0; 16];
    // SAFETY: the host writes 16 bytes.
    let asset = unsafe {
        host::value_amount(amount.as_mut_ptr());
        host::value_asset()
    };
    (asset, u128::from_le_bytes(amount))
}

/// The chain's identity.
pub fn chain_id() -> u64 {
    // SAFETY: no pointers.
    unsafe { host::chain_id() }
}

/// The height of the block that the call belongs to.
pub fn block_height() -> u64 {
    // SAFETY: no pointers.
    unsafe { host::block_height() }
}

/// The time of that block in milliseconds since 1970.
pub fn block_timestamp() -> u64 {
    // SAFETY: no pointers.
    unsafe { host::block_timestamp() }
}

/// Gas that the call may still use.
pub fn gas_left() -> u64 {
    // SAFETY: no pointers.
    unsafe { host::gas_left() }
}

/// Loads a value of exactly `N` bytes. `None` when there is no value, or one of another length.
pub fn load<const N: usize>(key: &[u8]) -> Option<[u8; N]> {
    let mut value = [0; N];
    let length = load_into(key, &mut value)?;
    (length == N).then_some(value)
}

/// Loads a value into `buffer`, as much as fits, and returns its whole length.
pub fn load_into(key: &[u8], buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: pointers and lengths are those of live slices; the host writes no more than the buffer's length.
    let length = unsafe { host::storage_load(key.as_ptr(), key.len(), buffer.as_mut_ptr(), buffer.len()) };
    usize::try_from(length).ok()
}

/// Stores a value.
pub fn store(key: &[u8], value: &[u8]) {
    // SAFETY: pointers and lengths are those of live slices, which the host only reads.
    unsafe { host::storage_store(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

/// Removes a value. Returns whether there was one.
pub fn remove(key: &[u8]) -> bool {
    // SAFETY: pointer and length are those of a live slice, which the host only reads.
    unsafe { host::storage_remove(key.as_ptr(), key.len()) != 0 }
}

/// An account's balance in base units.
pub fn balance(asset: u32, address: &Address) -> u128 {
    let mut amount = [0; 16];
    // SAFETY: the host reads 20 bytes and writes 16.
    unsafe { host::balance(asset, address.as_ptr(), amount.as_mut_ptr()) }
    u128::from_le_bytes(amount)
}

/// Why a transfer did not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferRefusal {
    /// The contract does not have that much.
    InsufficientFunds,
    /// No such asset.
    UnknownAsset,
    /// Another reason, by its number.
    Other(u32),
}

/// Moves an amount of the contract's own assets to an account.
pub fn transfer(asset: u32, to: &Address, amount: u128) -> Result<(), TransferRefusal> {
    let amount = amount.to_le_bytes();
    // SAFETY: the host reads 20 and 16 bytes.
    match unsafe { host::transfer(asset, to.as_ptr(), amount.as_ptr()) } {
        0 => Ok(()),
        1 => Err(TransferRefusal::InsufficientFunds),
        2 => Err(TransferRefusal::UnknownAsset),
        code => Err(TransferRefusal::Other(code)),
    }
}

/// Emits an event.
pub fn emit(topics: &[Hash], data: &[u8]) {
    // SAFETY: pointers and lengths are those of live slices, which the host only reads.
    unsafe { host::emit_event(topics.as_ptr().cast(), topics.len(), data.as_ptr(), data.len()) }
}

/// Keccak-256, as in Ethereum.
pub fn keccak256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    // SAFETY: the host reads the slice and writes 32 bytes.
    unsafe { host::keccak256(bytes.as_ptr(), bytes.len(), hash.as_mut_ptr()) }
    hash
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    // SAFETY: the host reads the slice and writes 32 bytes.
    unsafe { host::sha256(bytes.as_ptr(), bytes.len(), hash.as_mut_ptr()) }
    hash
}

/// The address whose key made a secp256k1 signature (r, s, and 0 or 1) over `digest`.
pub fn ecrecover(digest: &Hash, signature: &[u8; 65]) -> Option<Address> {
    let mut address = [0; 20];
    // SAFETY: the host reads 32 and 65 bytes and writes 20.
    let found = unsafe { host::ecrecover(digest.as_ptr(), signature.as_ptr(), address.as_mut_ptr()) };
    (found != 0).then_some(address)
}

/// Whether an Ed25519 signature is valid under the ZIP-215 rule.
pub fn ed25519_verify(public_key: &[u8; 32], signature: &[u8; 64], message: &[u8]) -> bool {
    // SAFETY: the host reads 32 bytes, 64 bytes and the slice.
    unsafe {
        host::ed25519_verify(public_key.as_ptr(), signature.as_ptr(), message.as_ptr(), message.len()) != 0
    }
}

/// Sets the call's output, in place of what was set before.
pub fn output(bytes: &[u8]) {
    // SAFETY: pointer and length are those of a live slice, which the host only reads.
    unsafe { host::set_output(bytes.as_ptr(), bytes.len()) }
}

/// Ends the call without effects and tells the caller why.
pub fn revert(reason: &str) -> ! {
    // SAFETY: pointer and length are those of a live slice, which the host only reads.
    unsafe { host::revert(reason.as_ptr(), reason.len()) }
}

/// Ends the call because the input selects no function of the contract.
pub fn invalid_function(selector: u8) -> ! {
    // SAFETY: no pointers.
    unsafe { host::invalid_function(selector.into()) }
}

/// Ends the call as a trap: a bug of the contract.
pub fn abort(message: &str) -> ! {
    // SAFETY: pointer and length are those of a live slice, which the host only reads.
    unsafe { host::abort(message.as_ptr(), message.len()) }
}

/// A line for the contract's author.
pub fn debug_log(line: &str) {
    // SAFETY: pointer and length are those of a live slice, which the host only reads.
    unsafe { host::debug_log(line.as_ptr(), line.len()) }
}

fn address(function: unsafe extern "C" fn(*mut u8)) -> Address {
    let mut address = [0; 20];
    // SAFETY: each function given here writes 20 bytes.
    unsafe { function(address.as_mut_ptr()) }
    address
}

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort("panic")
}
