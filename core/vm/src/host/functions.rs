//! The functions that a contract may import from the module `shroud`.
//!
//! Pointers and lengths are offsets into the contract's memory, numbers are little-endian, addresses have 20 bytes, hashes
//! 32, amounts 16. A pointer outside the memory, or a length above its limit, is a trap that says so.

use shroud_crypto::{Address, Hash, ed25519, secp256k1};
use wasmi::{Caller, Engine, Error, Linker};

use super::{Halt, Host, Then, charge, check, read, read_array, with_slice, write};
use crate::gas;
use crate::limits::{
    MAX_EVENT_DATA_BYTES, MAX_EVENT_TOPICS, MAX_HASH_INPUT_BYTES, MAX_OUTPUT_BYTES, MAX_REASON_BYTES,
    MAX_STORAGE_KEY_BYTES, MAX_STORAGE_VALUE_BYTES,
};
use crate::outcome::Verdict;
use crate::request::HostRequest;

/// The module that contracts import from.
pub(crate) const MODULE: &str = "shroud";

/// Defines the linker and the list of names from one table, so that they cannot differ.
macro_rules! host_functions {
    ($($name:ident),* $(,)?) => {
        /// The names of all host functions.
        pub(crate) const FUNCTIONS: &[&str] = &[$(stringify!($name)),*];

        /// A linker that offers all host functions to the modules of `engine`.
        ///
        /// No host function has neither parameters nor results, so that none can be exported again as an entry.
        pub(crate) fn linker(engine: &Engine) -> Result<Linker<Host>, Error> {
            let mut linker = Linker::new(engine);
            $(linker.func_wrap(MODULE, stringify!($name), $name)?;)*
            Ok(linker)
        }
    };
}

host_functions! {
    input_length, input_copy, caller, origin, self_address, value_asset, value_amount,
    chain_id, block_height, block_timestamp, gas_left,
    storage_load, storage_store, storage_remove, balance, transfer, emit_event,
    keccak256, sha256, ecrecover, ed25519_verify,
    set_output, revert, invalid_function, abort, debug_log,
}

type Context<'a> = Caller<'a, Host>;

// The call's context.

fn input_length(mut context: Context<'_>) -> Result<u32, Error> {
    charge(&mut context, gas::HOST_CALL)?;
    Ok(u32::try_from(context.data().context.input.len()).unwrap_or(u32::MAX))
}

/// Copies `length` bytes of the input, from `offset` on, to `to`.
fn input_copy(mut context: Context<'_>, to: u32, offset: u32, length: u32) -> Result<(), Error> {
    charge_copy(&mut context, gas::HOST_CALL, length)?;
    let copied = with_slice(&mut context, to, length, |target, host| {
        let start = offset as usize;
        let source = start.checked_add(length as usize).and_then(|end| host.context.input.get(start..end));
        match source {
            Some(source) => {
                target.copy_from_slice(source);
                Ok(())
            }
            None => Err(Halt::trap(format!(
                "input_copy of {length} bytes at {offset}, beyond the input of {} bytes",
                host.context.input.len()
            ))),
        }
    })?;
    Ok(copied?)
}

fn caller(mut context: Context<'_>, to: u32) -> Result<(), Error> {
    let address = context.data().context.caller;
    write_address(&mut context, to, address)
}

fn origin(mut context: Context<'_>, to: u32) -> Result<(), Error> {
    let address = context.data().context.origin;
    write_address(&mut context, to, address)
}

fn self_address(mut context: Context<'_>, to: u32) -> Result<(), Error> {
    let address = context.data().context.contract;
    write_address(&mut context, to, address)
}

fn value_asset(mut context: Context<'_>) -> Result<u32, Error> {
    charge(&mut context, gas::HOST_CALL)?;
    Ok(context.data().context.value.asset)
}

fn value_amount(mut context: Context<'_>, to: u32) -> Result<(), Error> {
    charge(&mut context, gas::HOST_CALL)?;
    let amount = context.data().context.value.amount;
    Ok(write(&mut context, to, &amount.to_le_bytes())?)
}

fn chain_id(mut context: Context<'_>) -> Result<u64, Error> {
    charge(&mut context, gas::HOST_CALL)?;
    Ok(context.data().context.chain_id)
}

fn block_height(mut context: Context<'_>) -> Result<u64, Error> {
    charge(&mut context, gas::HOST_CALL)?;
    Ok(context.data().context.block_height)
}

/// The block's time in milliseconds since 1970.
fn block_timestamp(mut context: Context<'_>) -> Result<u64, Error> {
    charge(&mut context, gas::HOST_CALL)?;
    Ok(context.data().context.timestamp_millis)
}

fn gas_left(mut context: Context<'_>) -> Result<u64, Error> {
    charge(&mut context, gas::HOST_CALL)?;
    let fuel = context.get_fuel()?.saturating_add(context.data().reserve);
    Ok(fuel / gas::FUEL_PER_GAS)
}

// Storage and assets: the ledger answers.

/// Copies up to `capacity` bytes of the value to `to`. Returns the value's length, or -1 when there is none.
fn storage_load(
    mut context: Context<'_>,
    key: u32,
    key_length: u32,
    to: u32,
    capacity: u32,
) -> Result<i32, Error> {
    charge(&mut context, gas::STORAGE_LOAD)?;
    let key = storage_key(&mut context, key, key_length)?;
    check(&mut context, to, capacity)?;
    Err(Halt::Ask(HostRequest::StorageLoad { key }, Then::CopyValue { to, capacity }).into())
}

fn storage_store(
    mut context: Context<'_>,
    key: u32,
    key_length: u32,
    value: u32,
    value_length: u32,
) -> Result<(), Error> {
    must_write(&context, "storage_store")?;
    let bytes = u64::from(key_length).saturating_add(u64::from(value_length));
    charge(&mut context, gas::STORAGE_STORE.saturating_add(bytes.saturating_mul(gas::STORAGE_BYTE)))?;
    let key = storage_key(&mut context, key, key_length)?;
    at_most("a storage value", value_length, MAX_STORAGE_VALUE_BYTES)?;
    let value = read(&mut context, value, value_length)?;
    Err(Halt::Ask(HostRequest::StorageStore { key, value }, Then::Return).into())
}

/// Returns 1 when the key had a value, otherwise 0.
fn storage_remove(mut context: Context<'_>, key: u32, key_length: u32) -> Result<u32, Error> {
    must_write(&context, "storage_remove")?;
    charge(&mut context, gas::STORAGE_REMOVE)?;
    let key = storage_key(&mut context, key, key_length)?;
    Err(Halt::Ask(HostRequest::StorageRemove { key }, Then::ReturnExisted).into())
}

fn balance(mut context: Context<'_>, asset: u32, address: u32, to: u32) -> Result<(), Error> {
    charge(&mut context, gas::BALANCE)?;
    let address = Address::from(read_array(&mut context, address)?);
    check(&mut context, to, 16)?;
    Err(Halt::Ask(HostRequest::Balance { asset, address }, Then::WriteBalance { to }).into())
}

/// Moves an amount from the contract to an account. Returns 0, or why not (`TransferRefusal::code`).
fn transfer(mut context: Context<'_>, asset: u32, receiver: u32, amount: u32) -> Result<u32, Error> {
    must_write(&context, "transfer")?;
    charge(&mut context, gas::TRANSFER)?;
    let to = Address::from(read_array(&mut context, receiver)?);
    let amount = u128::from_le_bytes(read_array(&mut context, amount)?);
    Err(Halt::Ask(HostRequest::Transfer { asset, to, amount }, Then::ReturnRefusal).into())
}

/// Emits an event with `count` topics of 32 bytes that follow each other at `topics`.
fn emit_event(
    mut context: Context<'_>,
    topics: u32,
    count: u32,
    data: u32,
    data_length: u32,
) -> Result<(), Error> {
    must_write(&context, "emit_event")?;
    let cost = gas::EVENT
        .saturating_add(u64::from(count).saturating_mul(gas::EVENT_TOPIC))
        .saturating_add(u64::from(data_length).saturating_mul(gas::EVENT_BYTE));
    charge(&mut context, cost)?;
    at_most("an event's topics", count, MAX_EVENT_TOPICS)?;
    at_most("an event's data", data_length, MAX_EVENT_DATA_BYTES)?;
    let topics = with_slice(&mut context, topics, count.saturating_mul(32), |bytes, _| {
        let (topics, _) = bytes.as_chunks::<32>();
        topics.iter().map(|topic| Hash::from(*topic)).collect()
    })?;
    let data = read(&mut context, data, data_length)?;
    Ok(context.data_mut().emit(topics, data)?)
}

// Cryptography.

fn keccak256(mut context: Context<'_>, from: u32, length: u32, to: u32) -> Result<(), Error> {
    charge(&mut context, gas::hashing(length as usize, gas::KECCAK256_WORD))?;
    hash(&mut context, from, length, to, shroud_crypto::keccak256)
}

fn sha256(mut context: Context<'_>, from: u32, length: u32, to: u32) -> Result<(), Error> {
    charge(&mut context, gas::hashing(length as usize, gas::SHA256_WORD))?;
    hash(&mut context, from, length, to, shroud_crypto::sha256)
}

fn hash(
    context: &mut Context<'_>,
    from: u32,
    length: u32,
    to: u32,
    function: fn(&[u8]) -> Hash,
) -> Result<(), Error> {
    at_most("the bytes to hash", length, MAX_HASH_INPUT_BYTES)?;
    let hash = with_slice(&mut *context, from, length, |bytes, _| function(bytes))?;
    Ok(write(context, to, hash.as_ref())?)
}

/// Writes to `to` the address whose key made `signature` (r, s, and 0 or 1; 65 bytes, s in the lower half) over the 32 bytes
/// at `digest`. Returns 1, or 0 when there is none.
fn ecrecover(mut context: Context<'_>, digest: u32, signature: u32, to: u32) -> Result<u32, Error> {
    charge(&mut context, gas::ECRECOVER)?;
    let digest = Hash::from(read_array::<32>(&mut context, digest)?);
    let [parity] = read_array(&mut context, signature.saturating_add(64))?;
    let signature = secp256k1::Signature {
        r: read_array(&mut context, signature)?,
        s: read_array(&mut context, signature.saturating_add(32))?,
        y_odd: parity == 1,
    };
    check(&mut context, to, 20)?;
    if parity > 1 {
        return Ok(0);
    }
    match secp256k1::recover(&digest, &signature) {
        Ok(key) => {
            write(&mut context, to, key.address().as_ref())?;
            Ok(1)
        }
        Err(_) => Ok(0),
    }
}

/// Returns 1 when the 64 bytes at `signature` are a signature of the message by `public_key` under the ZIP-215 rule, else 0.
fn ed25519_verify(
    mut context: Context<'_>,
    public_key: u32,
    signature: u32,
    message: u32,
    message_length: u32,
) -> Result<u32, Error> {
    let cost = gas::hashing(message_length as usize, gas::SHA256_WORD).saturating_add(gas::ED25519_VERIFY);
    charge(&mut context, cost)?;
    at_most("the signed message", message_length, MAX_HASH_INPUT_BYTES)?;
    let public_key = ed25519::VerifyingKey(read_array(&mut context, public_key)?);
    let signature = ed25519::Signature(read_array(&mut context, signature)?);
    let valid = with_slice(&mut context, message, message_length, |message, _| {
        ed25519::verify(&public_key, message, &signature).is_ok()
    })?;
    Ok(u32::from(valid))
}

// The end of the call.

/// Replaces the call's output.
fn set_output(mut context: Context<'_>, from: u32, length: u32) -> Result<(), Error> {
    charge_copy(&mut context, gas::HOST_CALL, length)?;
    at_most("the output", length, MAX_OUTPUT_BYTES)?;
    let output = read(&mut context, from, length)?;
    context.data_mut().output = output;
    Ok(())
}

/// Ends the call without effects, with a reason for the caller. Does not return.
fn revert(mut context: Context<'_>, from: u32, length: u32) -> Result<(), Error> {
    charge_copy(&mut context, gas::HOST_CALL, length)?;
    at_most("the reason of a revert", length, MAX_REASON_BYTES)?;
    let reason = read(&mut context, from, length)?;
    Err(Halt::End(Verdict::Revert { reason }).into())
}

/// Ends the call because the input selects no function of the contract. Does not return.
fn invalid_function(mut context: Context<'_>, selector: u32) -> Result<(), Error> {
    charge(&mut context, gas::HOST_CALL)?;
    Err(Halt::End(Verdict::InvalidFunction { selector }).into())
}

/// Ends the call as a trap, with a message: what a panic in a contract does. Does not return.
fn abort(mut context: Context<'_>, from: u32, length: u32) -> Result<(), Error> {
    charge_copy(&mut context, gas::HOST_CALL, length)?;
    at_most("the message of an abort", length, MAX_REASON_BYTES)?;
    let message = read(&mut context, from, length)?;
    Err(Halt::trap(format!("the contract aborted: {}", String::from_utf8_lossy(&message))).into())
}

fn debug_log(mut context: Context<'_>, from: u32, length: u32) -> Result<(), Error> {
    charge_copy(&mut context, gas::DEBUG_LOG, length)?;
    Ok(with_slice(&mut context, from, length, |bytes, host| host.log(bytes))?)
}

// Shared parts.

fn charge_copy(context: &mut Context<'_>, base: u64, length: u32) -> Result<(), Halt> {
    charge(context, base.saturating_add(gas::copying(length as usize)))
}

fn write_address(context: &mut Context<'_>, to: u32, address: Address) -> Result<(), Error> {
    charge(&mut *context, gas::HOST_CALL)?;
    Ok(write(context, to, address.as_ref())?)
}

fn storage_key(context: &mut Context<'_>, from: u32, length: u32) -> Result<Vec<u8>, Halt> {
    at_most("a storage key", length, MAX_STORAGE_KEY_BYTES)?;
    read(context, from, length)
}

fn at_most(what: &str, given: u32, limit: usize) -> Result<(), Halt> {
    if given as usize > limit {
        return Err(Halt::trap(format!("{what}: {given} given, at most {limit} allowed")));
    }
    Ok(())
}

fn must_write(context: &Context<'_>, function: &str) -> Result<(), Halt> {
    if context.data().context.entry.may_write() {
        return Ok(());
    }
    Err(Halt::trap(format!("{function} in a view call, which may not write")))
}
