//! Who holds what in the beginning.

use crate::sim::model::{AccountModel, LedgerModel};
use shroud_crypto::{Address, sha256};
use shroud_gwallet::{KeyKind, Secret};
use shroud_ledger::genesis::Genesis;
use shroud_ledger::{AssetId, GCC};
use std::collections::BTreeMap;

/// The second asset that clients move.
pub const MANA: AssetId = AssetId(2);
/// What everyone starts with, in base units: enough for the fees of a run, little enough that some payments are too
/// large.
const FUNDS: u128 = 10_u128.pow(18);

/// The chain's id.
pub const CHAIN_ID: u64 = 7;
/// What a gas costs.
pub const GAS_PRICE: u128 = 1_000;
/// Who earns the fees.
pub const FEE_ACCOUNT: Address = Address([0xfe; 20]);

/// A client's key: every third signs as Ethereum's wallets do, the others natively.
#[must_use]
pub fn key(client: u32) -> Option<Secret> {
    let kind = if is_native(client) { KeyKind::Ed25519 } else { KeyKind::Secp256k1 };
    let secret = sha256(format!("shroud simulation, key {client}").as_bytes());
    Secret::from_bytes(kind, &secret.0).ok()
}

/// Whether a client's key signs native transactions.
#[must_use]
pub const fn is_native(client: u32) -> bool {
    client % 3 != 2
}

/// A chain in which so many clients have funds, and the model of it.
///
/// # Errors
/// A sentence, should the chain not be valid: never.
pub fn chain(clients: u32) -> Result<(Genesis, LedgerModel), String> {
    let mut accounts = Vec::new();
    let mut model = BTreeMap::new();
    for client in 0..clients {
        let address = key(client).ok_or("no key")?.address();
        let funds = FUNDS.to_string();
        accounts.push(serde_json::json!({ "address": address, "balances": { "GCC": funds, "MANA": funds } }));
        let balances = BTreeMap::from([(GCC, FUNDS), (MANA, FUNDS)]);
        model.insert(address, AccountModel { nonce: 0, balances });
    }
    let genesis = serde_json::json!({
        "chain_id": CHAIN_ID,
        "timestamp": 1_767_225_600_u64,
        "gas_price": GAS_PRICE.to_string(),
        "block_gas_limit": 300_000_000_u64,
        "fee_account": FEE_ACCOUNT,
        "assets": [
            { "id": 0, "symbol": "GCC", "name": "GCC", "decimals": 18 },
            { "id": 2, "symbol": "MANA", "name": "Mana", "decimals": 18 },
        ],
        "accounts": accounts,
    });
    let genesis = Genesis::from_json(genesis.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let model = LedgerModel {
        genesis: model,
        gas_price: GAS_PRICE,
        fee_account: FEE_ACCOUNT,
        ..LedgerModel::default()
    };
    Ok((genesis, model))
}
