//! The development chain: well-known keys with funds, for tests and first steps. Anyone can derive these keys; never
//! give them anything of value.

use shroud_crypto::{Address, ed25519, secp256k1, sha256};
use shroud_ledger::genesis::Genesis;

/// The development chain's id.
pub const CHAIN_ID: u64 = 21_320;
/// Funded keys of each kind.
pub const ACCOUNTS: u32 = 10;
/// What each funded account starts with, in whole GCC.
const WHOLE_COINS: u128 = 1_000_000;

/// The secret of a development account's secp256k1 key (Ethereum wallets).
#[must_use]
pub fn ethereum_secret(index: u32) -> [u8; 32] {
    sha256(format!("shroud development chain, secp256k1 key {index}").as_bytes()).0
}

/// The seed of a development account's Ed25519 key (native transactions).
#[must_use]
pub fn native_seed(index: u32) -> [u8; 32] {
    sha256(format!("shroud development chain, ed25519 key {index}").as_bytes()).0
}

/// The address of [`ethereum_secret`]; `None` never happens for the keys that are handed out.
#[must_use]
pub fn ethereum_address(index: u32) -> Option<Address> {
    secp256k1::SigningKey::from_secret(&ethereum_secret(index)).ok().map(|key| key.verifying_key().address())
}

/// The address of [`native_seed`].
#[must_use]
pub fn native_address(index: u32) -> Address {
    Address::from_ed25519(ed25519::SigningKey::from_seed(&native_seed(index)).verifying_key())
}

/// The development genesis as JSON: what `shroud genesis --dev` prints.
#[must_use]
pub fn genesis_json() -> String {
    let funds = (WHOLE_COINS * 10_u128.pow(18)).to_string();
    let account = |address: Address| serde_json::json!({ "address": address, "balances": { "GCC": funds } });
    let accounts: Vec<_> = (0..ACCOUNTS)
        .flat_map(|index| [ethereum_address(index), Some(native_address(index))])
        .flatten()
        .map(account)
        .collect();
    let genesis = serde_json::json!({
        "chain_id": CHAIN_ID,
        "timestamp": 1_767_225_600_u64,
        "gas_price": "1000000000",
        "block_gas_limit": 300_000_000_u64,
        "fee_account": "0x00000000000000000000000000000000000000fe",
        "assets": [
            { "id": 0, "symbol": "GCC", "name": "GCC", "decimals": 18 },
            { "id": 1, "symbol": "SPIRIT", "name": "Spirit", "decimals": 18 },
            { "id": 2, "symbol": "MANA", "name": "Mana", "decimals": 18 },
            { "id": 3, "symbol": "GHOST", "name": "Ghost", "decimals": 18 },
        ],
        "accounts": accounts,
    });
    format!("{genesis:#}")
}

/// The development genesis.
///
/// # Panics
/// Never: the text is fixed, and a test parses it.
#[must_use]
pub fn genesis() -> Genesis {
    match Genesis::from_json(genesis_json().as_bytes()) {
        Ok(genesis) => genesis,
        Err(error) => unreachable!("the development genesis is valid: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_development_key_is_funded() {
        let json = genesis_json();
        assert_eq!(genesis().parameters().chain_id.0, CHAIN_ID);
        for index in 0..ACCOUNTS {
            let ethereum = ethereum_address(index).expect("a valid key");
            assert!(
                json.contains(&ethereum.to_string()) && json.contains(&native_address(index).to_string())
            );
        }
    }
}
