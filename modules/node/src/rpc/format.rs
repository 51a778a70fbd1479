//! Ledger objects in the JSON that Ethereum's clients read (the execution API's schemas), and the shorter native forms.
//!
//! Native transactions appear with type `0x53`; the two halves of their Ed25519 signature stand in `r` and `s`.

use alloy_primitives::{Address as BloomAddress, B256, Bloom};
use serde_json::{Map, Value, json};
use shroud_crypto::{Address, Hash};
use shroud_keystone::BlockInfo;
use shroud_ledger::block::{Block, BlockHeader};
use shroud_ledger::receipt::{Receipt, Status};
use shroud_ledger::state::ChainParameters;
use shroud_ledger::transaction::ethereum::EthereumKind;
use shroud_ledger::transaction::{Action, Envelope, Transaction, native};
use shroud_ledger::{AssetId, GCC};
use shroud_vm::Event;
use shroud_wire::hex::{data, quantity};

/// keccak256 of the RLP of an empty list: the uncles of every block.
const NO_UNCLES: &str = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";

/// Where a transaction stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub block: Hash,
    pub height: u64,
    pub index: u32,
}

/// A block's transactions: their hashes, or whole.
pub(crate) enum Transactions<'a> {
    Hashes(&'a [Hash]),
    Whole(Vec<Value>),
}

/// A block as `eth_getBlockByNumber` shows it.
pub(crate) fn block(
    header: &BlockHeader,
    hash: Hash,
    size: usize,
    parameters: &ChainParameters,
    transactions: Transactions<'_>,
    bloom: &Bloom,
) -> Value {
    let transactions = match transactions {
        Transactions::Hashes(hashes) => json!(hashes),
        Transactions::Whole(whole) => Value::Array(whole),
    };
    json!({
        "number": quantity(header.height.0),
        "hash": hash,
        "parentHash": header.parent,
        "nonce": "0x0000000000000000",
        "mixHash": Hash::ZERO,
        "sha3Uncles": NO_UNCLES,
        "logsBloom": data(bloom.as_slice()),
        "transactionsRoot": header.transactions_root,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "miner": parameters.fee_account,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "size": quantity(size as u64),
        "gasLimit": quantity(parameters.block_gas_limit.0),
        "gasUsed": quantity(header.gas_used.0),
        "baseFeePerGas": quantity(parameters.gas_price),
        "timestamp": quantity(header.timestamp.0 / 1000),
        "timestampMillis": quantity(header.timestamp.0),
        "transactions": transactions,
        "uncles": [],
    })
}

/// A transaction as `eth_getTransactionByHash` shows it. `paid` is what each gas cost, once included.
pub(crate) fn transaction(
    transaction: &Transaction,
    sender: Address,
    place: Option<Place>,
    paid: Option<u128>,
) -> Value {
    let mut fields = match transaction.envelope() {
        Envelope::Native(signed) => {
            let (r, s) = signed.signature.0.split_at(32);
            let mut fields = action(&signed.body.action);
            fields.extend(object(json!({
                "type": quantity(native::TAG),
                "chainId": quantity(signed.body.chain_id.0),
                "nonce": quantity(signed.body.nonce.0),
                "gas": quantity(signed.body.gas_limit.0),
                "gasPrice": quantity(signed.body.gas_price),
                "publicKey": data(&signed.key.0),
                "r": data(r),
                "s": data(s),
                "v": "0x1b",
                "yParity": "0x0",
            })));
            fields
        }
        Envelope::Ethereum(ethereum) => {
            let parity = u64::from(ethereum.signature.y_odd);
            let trim = |bytes: &[u8]| short(bytes);
            let mut fields = object(json!({
                "type": quantity(ethereum.kind as u8),
                "chainId": quantity(ethereum.chain_id.0),
                "nonce": quantity(ethereum.nonce.0),
                "gas": quantity(ethereum.gas_limit.0),
                "to": ethereum.to,
                "value": quantity(ethereum.value),
                "input": data(&ethereum.input),
                "gasPrice": quantity(paid.unwrap_or(ethereum.max_fee_per_gas)),
                "r": trim(&ethereum.signature.r),
                "s": trim(&ethereum.signature.s),
            }));
            if ethereum.kind == EthereumKind::Legacy {
                let v = u128::from(ethereum.chain_id.0) * 2 + 35 + u128::from(parity);
                fields.insert("v".into(), quantity(v).into());
            } else {
                let list = ethereum.access_list.iter();
                let list: Vec<_> =
                    list.map(|(address, keys)| json!({ "address": address, "storageKeys": keys })).collect();
                fields.insert("accessList".into(), list.into());
                fields.insert("v".into(), quantity(parity).into());
                fields.insert("yParity".into(), quantity(parity).into());
            }
            if ethereum.kind == EthereumKind::Eip1559 {
                fields.insert("maxFeePerGas".into(), quantity(ethereum.max_fee_per_gas).into());
                fields.insert(
                    "maxPriorityFeePerGas".into(),
                    quantity(ethereum.max_priority_fee_per_gas).into(),
                );
            }
            fields
        }
    };
    fields.insert("hash".into(), json!(transaction.hash()));
    fields.insert("from".into(), json!(sender));
    fields.insert("blockHash".into(), json!(place.map(|place| place.block)));
    fields.insert("blockNumber".into(), json!(place.map(|place| quantity(place.height))));
    fields.insert("transactionIndex".into(), json!(place.map(|place| quantity(place.index))));
    Value::Object(fields)
}

/// A receipt as `eth_getTransactionReceipt` shows it. `first_log` is the place of its first event in the block.
pub(crate) fn receipt(receipt: &Receipt, kind: u8, block: Hash, first_log: usize) -> Value {
    let logs: Vec<Value> = receipt
        .events
        .iter()
        .enumerate()
        .map(|(offset, event)| log(receipt, event, block, first_log + offset))
        .collect();
    let mut fields = object(json!({
        "transactionHash": receipt.transaction,
        "transactionIndex": quantity(receipt.index),
        "blockHash": block,
        "blockNumber": quantity(receipt.height.0),
        "from": receipt.sender,
        "to": receipt.to,
        "contractAddress": receipt.contract,
        "cumulativeGasUsed": quantity(receipt.cumulative_gas.0),
        "gasUsed": quantity(receipt.gas_used.0),
        "effectiveGasPrice": quantity(receipt.gas_price),
        "logs": logs,
        "logsBloom": data(bloom(&receipt.events).as_slice()),
        "type": quantity(kind),
        "status": status(&receipt.status),
    }));
    if !receipt.status.is_success() {
        fields.insert("revertReason".into(), receipt.status.to_string().into());
    }
    Value::Object(fields)
}

/// An event as receipts and subscriptions show it. `place` is its place among the block's events.
pub(crate) fn log(receipt: &Receipt, event: &Event, block: Hash, place: usize) -> Value {
    json!({
        "address": event.contract,
        "topics": event.topics,
        "data": data(&event.data),
        "blockHash": block,
        "blockNumber": quantity(receipt.height.0),
        "transactionHash": receipt.transaction,
        "transactionIndex": quantity(receipt.index),
        "logIndex": quantity(place as u64),
        "removed": false,
    })
}

/// A block as `newHeads` shows it: without its transactions.
pub(crate) fn head(info: &BlockInfo, receipts: &[Receipt], parameters: &ChainParameters) -> Value {
    let bloom = bloom(receipts.iter().flat_map(|receipt| &receipt.events));
    let size = size(&info.block);
    let mut head = block(&info.block.header, info.hash, size, parameters, Transactions::Hashes(&[]), &bloom);
    if let Some(fields) = head.as_object_mut() {
        for whole in ["transactions", "uncles", "size", "totalDifficulty"] {
            fields.remove(whole);
        }
    }
    head
}

/// Bytes of a block's encoding.
pub(crate) fn size(block: &Block) -> usize {
    block.header.encode().len() + block.transactions.iter().map(|bytes| bytes.len()).sum::<usize>()
}

/// The answer of `shroud_sendTransaction`: what a sender wants to know, and no more.
pub(crate) fn outcome(receipt: &Receipt) -> Value {
    let mut fields = object(json!({
        "hash": receipt.transaction,
        "status": status(&receipt.status),
        "blockNumber": quantity(receipt.height.0),
        "gasUsed": quantity(receipt.gas_used.0),
    }));
    if let Some(contract) = receipt.contract {
        fields.insert("contractAddress".into(), json!(contract));
    }
    if !receipt.output.is_empty() {
        fields.insert("output".into(), data(&receipt.output).into());
    }
    if !receipt.status.is_success() {
        fields.insert("reason".into(), receipt.status.to_string().into());
    }
    Value::Object(fields)
}

/// The bloom filter of events (yellow paper, 4.3.1).
pub(crate) fn bloom<'a>(events: impl IntoIterator<Item = &'a Event>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for event in events {
        let topics: Vec<B256> = event.topics.iter().map(|topic| B256::from(topic.0)).collect();
        bloom.accrue_raw_log(BloomAddress::from(event.contract.0), &topics);
    }
    bloom
}

fn status(status: &Status) -> &'static str {
    if status.is_success() { "0x1" } else { "0x0" }
}

/// What a native transaction does, in Ethereum's fields where they fit, and whole under `action`.
fn action(action: &Action) -> Map<String, Value> {
    let gcc = |asset: AssetId, amount: u128| quantity(if asset == GCC { amount } else { 0 });
    object(match action {
        Action::Transfer { to, asset, amount } => json!({
            "to": to, "value": gcc(*asset, *amount), "input": "0x",
            "action": { "kind": "transfer", "asset": quantity(asset.0), "amount": quantity(*amount) },
        }),
        Action::MultiTransfer { legs } => {
            let legs: Vec<_> = legs
                .iter()
                .map(|leg| json!({ "to": leg.to, "asset": quantity(leg.asset.0), "amount": quantity(leg.amount) }))
                .collect();
            json!({ "to": null, "value": "0x0", "input": "0x", "action": { "kind": "multiTransfer", "legs": legs } })
        }
        Action::Deploy { code, input } => json!({
            "to": null, "value": "0x0", "input": data(code),
            "action": { "kind": "deploy", "input": data(input) },
        }),
        Action::Call { contract, asset, value, input } => json!({
            "to": contract, "value": gcc(*asset, *value), "input": data(input),
            "action": { "kind": "call", "asset": quantity(asset.0), "amount": quantity(*value) },
        }),
        _ => json!({ "to": null, "value": "0x0", "input": "0x" }),
    })
}

/// A big-endian number as a quantity of any length.
fn short(bytes: &[u8]) -> String {
    let hex = data(bytes);
    let digits = hex.trim_start_matches("0x").trim_start_matches('0');
    if digits.is_empty() { "0x0".to_owned() } else { format!("0x{digits}") }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
