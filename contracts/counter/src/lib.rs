//! Counts. The number is kept in storage under `n`, as a little-endian `u64`; it starts at zero and never wraps.
//!
//! | input                | does                         | output |
//! |----------------------|------------------------------|--------|
//! | `00`                 | adds one                     | none   |
//! | `01`                 | nothing                      | `u64`  |
//! | `02`, then a `u64`   | adds that                    | none   |
#![no_std]

use shroud_contract::{contract, input, invalid_function, load, output, revert, store};

contract!(init, call);

const KEY: &[u8] = b"n";

fn init() {
    store(KEY, &0u64.to_le_bytes());
}

fn call() {
    let mut input = input::<9>();
    match input.byte() {
        0x00 => {
            input.end();
            add(1);
        }
        0x01 => {
            input.end();
            output(&count().to_le_bytes());
        }
        0x02 => {
            let amount = input.u64();
            input.end();
            add(amount);
        }
        selector => invalid_function(selector),
    }
}

fn add(amount: u64) {
    let Some(sum) = count().checked_add(amount) else {
        revert("the count would exceed 64 bits");
    };
    store(KEY, &sum.to_le_bytes());
}

fn count() -> u64 {
    load(KEY).map_or(0, u64::from_le_bytes)
}
