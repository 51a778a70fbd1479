//! The client that comes last: it reads the whole chain and all accounts as any client could.

use super::client::count_of;
use crate::sim::evidence::{Chain, Committed};
use crate::sim::model::{AccountModel, Receipt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shroud_crypto::{Address, Hash};
use shroud_ghostwire::http::{self, ClientLimits};
use shroud_ghostwire::rpc;
use shroud_gwallet::Remote;
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_wire::hex::{parse_quantity_u64, quantity};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long it waits for a node that does not answer yet.
const RETRY: Duration = Duration::from_millis(250);

/// Reads the chain from its first block to its last, these accounts and these counters.
///
/// # Errors
/// A sentence for the first answer that is missing or wrong.
pub async fn observe<R: Runtime>(
    runtime: R,
    url: &str,
    accounts: BTreeSet<Address>,
    counters: BTreeSet<Address>,
) -> Result<Chain, String> {
    let server = url.parse().map_err(|_| format!("{url} is no address"))?;
    let http = http::Client::new(runtime.clone(), ClientLimits::default());
    let rpc = rpc::Client::new(http, server);
    // The node may be starting.
    let tip = loop {
        match call::<R, Value>(&rpc, "shroud_stateCommitment", json!([])).await {
            Ok(tip) => break tip,
            Err(_) => runtime.sleep(RETRY).await,
        }
    };
    let height = number(&tip, "height")?;
    let (mut committed, mut odd) = (Vec::new(), Vec::new());
    for height in 1..=height {
        let block: Value = call(&rpc, "eth_getBlockByNumber", json!([quantity(height), true])).await?;
        let transactions = block.get("transactions").and_then(Value::as_array);
        for transaction in transactions.ok_or_else(|| format!("block {height} is missing: {block}"))? {
            committed.push(one(&rpc, height, transaction, &mut odd).await?);
        }
    }
    let wallet = Remote::new(runtime, url).map_err(|error| error.to_string())?;
    let mut shown = BTreeMap::new();
    for address in accounts {
        let account = wallet.account(address).await.map_err(|error| error.to_string())?;
        let held = account.balances.iter().map(|balance| (balance.asset, balance.amount));
        let balances = held.filter(|(_, amount)| *amount > 0).collect();
        shown.insert(address, AccountModel { nonce: account.nonce.0, balances });
    }
    let mut counts = BTreeMap::new();
    for contract in counters {
        counts.insert(contract, count_of(&rpc, contract).await?);
    }
    let tip = (height, field(&tip, "commitment")?);
    Ok(Chain { committed, accounts: shown, counters: counts, tip, odd, audit: None })
}

async fn one<R: Runtime>(
    rpc: &rpc::Client<R>,
    height: u64,
    transaction: &Value,
    odd: &mut Vec<String>,
) -> Result<Committed, String> {
    let hash: Hash = field(transaction, "hash")?;
    let receipt: Value = call(rpc, "eth_getTransactionReceipt", json!([hash])).await?;
    let told = (number(&receipt, "blockNumber")?, field::<Hash>(&receipt, "transactionHash")?);
    if told != (height, hash) {
        odd.push(format!("block {height} holds {hash}, whose receipt is of {told:?}"));
    }
    let index = number(transaction, "transactionIndex")?;
    Ok(Committed {
        hash,
        from: field(transaction, "from")?,
        nonce: number(transaction, "nonce")?,
        index: u32::try_from(index).map_err(|error| error.to_string())?,
        receipt: Receipt {
            height,
            success: number(&receipt, "status")? == 1,
            gas_used: number(&receipt, "gasUsed")?,
        },
    })
}

async fn call<R: Runtime, T: DeserializeOwned>(
    rpc: &rpc::Client<R>,
    method: &str,
    parameters: Value,
) -> Result<T, String> {
    rpc.call(method, &parameters).await.map_err(|error| error.to_string())
}

fn field<T: DeserializeOwned>(value: &Value, name: &str) -> Result<T, String> {
    let found = value.get(name).cloned().unwrap_or_default();
    serde_json::from_value(found).map_err(|error| format!("{name} of {value}: {error}"))
}

fn number(value: &Value, name: &str) -> Result<u64, String> {
    let text: String = field(value, name)?;
    parse_quantity_u64(&text).map_err(|error| format!("{name} of {value}: {error}"))
}
