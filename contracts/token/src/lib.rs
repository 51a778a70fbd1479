//! A token with a fixed supply, all of which belongs to whoever deploys it. Amounts are little-endian `u128`.
//!
//! The deployment's input is the supply, or empty for a million tokens with 18 decimals.
//!
//! | input                                | does                               | output |
//! |--------------------------------------|------------------------------------|--------|
//! | `00`, address, amount                | moves tokens from the caller       | none   |
//! | `01`, address                        | nothing                            | `u128` |
//! | `02`                                 | nothing                            | `u128` |
//!
//! A transfer, and the first issue, emit an event: topics `keccak256("Transfer")`, sender and receiver (addresses in the last
//! 20 bytes of 32, the sender of the issue is zero), data the amount.
//!
//! Storage: `s` holds the supply, `b` followed by an address its balance.
#![no_std]

use shroud_contract::{
    Address, Hash, caller, contract, emit, input, invalid_function, keccak256, load, output, revert, store,
};

contract!(init, call);

/// A million, with 18 decimals.
const DEFAULT_SUPPLY: u128 = 1_000_000 * 1_000_000_000_000_000_000;

const SUPPLY_KEY: &[u8] = b"s";

fn init() {
    let mut input = input::<16>();
    let supply = if input.is_empty() { DEFAULT_SUPPLY } else { input.u128() };
    let owner = caller();
    store(SUPPLY_KEY, &supply.to_le_bytes());
    set_balance(&owner, supply);
    emit_transfer(&[0; 20], &owner, supply);
}

fn call() {
    let mut input = input::<37>();
    match input.byte() {
        0x00 => {
            let to = input.address();
            let amount = input.u128();
            input.end();
            transfer(&caller(), &to, amount);
        }
        0x01 => {
            let owner = input.address();
            input.end();
            output(&balance_of(&owner).to_le_bytes());
        }
        0x02 => {
            input.end();
            output(&load::<16>(SUPPLY_KEY).unwrap_or_default());
        }
        selector => invalid_function(selector),
    }
}

fn transfer(from: &Address, to: &Address, amount: u128) {
    let Some(rest) = balance_of(from).checked_sub(amount) else {
        revert("insufficient balance");
    };
    // The order matters when both are the same account.
    set_balance(from, rest);
    let Some(sum) = balance_of(to).checked_add(amount) else {
        revert("balance overflow");
    };
    set_balance(to, sum);
    emit_transfer(from, to, amount);
}

fn balance_of(owner: &Address) -> u128 {
    load(&balance_key(owner)).map_or(0, u128::from_le_bytes)
}

fn set_balance(owner: &Address, amount: u128) {
    store(&balance_key(owner), &amount.to_le_bytes());
}

fn balance_key(owner: &Address) -> [u8; 21] {
    let mut key = [b'b'; 21];
    key[1..].copy_from_slice(owner);
    key
}

fn emit_transfer(from: &Address, to: &Address, amount: u128) {
    emit(&[keccak256(b"Transfer"), topic(from), topic(to)], &amount.to_le_bytes());
}

fn topic(address: &Address) -> Hash {
    let mut topic = [0; 32];
    topic[12..].copy_from_slice(address);
    topic
}
