//! `eth_*`.

use super::call::CallRequest;
use super::error::{call_error, failed_call, query_error};
use super::format::{self, Place, Transactions};
use super::params::{BlockTag, Params, wrong};
use super::{Rpc, json, text};
use serde_json::{Value, json as object};
use shroud_crypto::Hash;
use shroud_ghostwire::rpc::{Json, RpcError};
use shroud_keystone::{BlockInfo, TransactionInfo};
use shroud_ledger::receipt::Receipt;
use shroud_ledger::transaction::{Transaction, native};
use shroud_ledger::{GCC, Gas, Height, state};
use shroud_runtime::Runtime;
use shroud_vm::Verdict;
use shroud_wire::hex::{data, quantity};

/// Blocks that one `eth_feeHistory` looks back at most, as geth's.
const MAX_FEE_HISTORY: u64 = 1024;

impl<R: Runtime> Rpc<R> {
    /// `eth_sendRawTransaction(data)`: the hash, once the transaction is durable.
    pub(super) async fn send_raw(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let included = self.submit(&params.data(0, "transaction")?).await?;
        text(&included.receipt.transaction.to_string())
    }

    /// `eth_getBalance(address, block?)`: of GCC.
    pub(super) async fn balance(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let address = params.address(0, "address")?;
        let (tree, _) = self.state(BlockTag::read(params, 1)?).await?;
        let account =
            state::account(&tree, address).map_err(|error| RpcError::internal(error.to_string()))?;
        text(&quantity(account.balance(GCC)))
    }

    /// `eth_getTransactionCount(address, block?)`: the next nonce.
    pub(super) async fn transaction_count(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let address = params.address(0, "address")?;
        let (tree, _) = self.state(BlockTag::read(params, 1)?).await?;
        let account =
            state::account(&tree, address).map_err(|error| RpcError::internal(error.to_string()))?;
        text(&quantity(account.nonce.0))
    }

    /// `eth_getCode(address, block?)`: the contract's WebAssembly.
    pub(super) async fn code(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let address = params.address(0, "address")?;
        let (tree, _) = self.state(BlockTag::read(params, 1)?).await?;
        let account =
            state::account(&tree, address).map_err(|error| RpcError::internal(error.to_string()))?;
        let code = account.code.and_then(|hash| state::code(&tree, hash));
        text(&data(code.unwrap_or_default()))
    }

    /// `eth_call(call, block?)`: what the contract returns to a call that may not write. An account without code returns
    /// nothing, as on Ethereum. State overrides are not supported.
    pub(super) async fn eth_call(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        if params.get::<serde::de::IgnoredAny>(2, "state overrides")?.is_some() {
            return Err(wrong("state overrides", "not supported"));
        }
        let request: CallRequest = params.get(0, "call")?.ok_or_else(|| wrong("call", "it is missing"))?;
        let (tree, block) = self.state(BlockTag::read(params, 1)?).await?;
        let call = request.contract_call()?;
        let account =
            state::account(&tree, call.contract).map_err(|error| RpcError::internal(error.to_string()))?;
        if account.code.is_none() {
            return text("0x");
        }
        let outcome = self.covenant.view(tree, block, call).await.map_err(|error| call_error(&error))?;
        match &outcome.verdict {
            Verdict::Success { output, .. } => text(&data(output)),
            _ => Err(failed_call(&outcome)),
        }
    }

    /// `eth_estimateGas(call, block?)`: the gas limit with which it would succeed.
    pub(super) async fn estimate_gas(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let request: CallRequest = params.get(0, "call")?.ok_or_else(|| wrong("call", "it is missing"))?;
        let (tree, block) = self.state(BlockTag::read(params, 1)?).await?;
        let Gas(gas) = self
            .covenant
            .estimate(tree, block, &request.draft()?)
            .await
            .map_err(|error| call_error(&error))?;
        text(&quantity(gas))
    }

    /// `eth_feeHistory(count, newest, percentiles?)`: the price is fixed, so only the blocks' use differs.
    pub(super) async fn fee_history(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Count {
            Number(u64),
            Text(String),
        }
        let count = match params.get::<Count>(0, "blockCount")? {
            Some(Count::Number(number)) => number,
            Some(Count::Text(text)) => {
                shroud_wire::hex::parse_quantity_u64(&text).map_err(|error| wrong("blockCount", error))?
            }
            None => return Err(wrong("blockCount", "it is missing")),
        };
        let percentiles: Vec<f64> = params.get(2, "rewardPercentiles")?.unwrap_or_default();
        if percentiles.len() > 100 || percentiles.iter().any(|percentile| !(0.0..=100.0).contains(percentile))
        {
            return Err(wrong("rewardPercentiles", "at most 100 values between 0 and 100"));
        }
        let newest = self.block(BlockTag::read(params, 1)?).await?;
        let newest =
            newest.ok_or_else(|| wrong("newestBlock", "there is no such block"))?.block.header.height.0;
        let count = count.min(MAX_FEE_HISTORY).min(newest.saturating_add(1));
        let oldest = newest.saturating_add(1).saturating_sub(count);
        let mut ratios = Vec::new();
        for number in oldest..=newest {
            let block = self.ledger.block_at(Height(number)).await.map_err(|error| query_error(&error))?;
            let used = block.map_or(0, |block| block.block.header.gas_used.0);
            ratios.push(used as f64 / self.parameters.block_gas_limit.0 as f64);
        }
        let price = quantity(self.parameters.gas_price);
        let mut history = object!({
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": vec![price; ratios.len() + 1],
            "gasUsedRatio": ratios,
        });
        if !percentiles.is_empty()
            && let Some(fields) = history.as_object_mut()
        {
            let blocks = fields.get("gasUsedRatio").and_then(Value::as_array).map_or(0, Vec::len);
            fields.insert("reward".into(), object!(vec![vec!["0x0"; percentiles.len()]; blocks]));
        }
        json(&history)
    }

    /// `eth_getTransactionByHash(hash)`.
    pub(super) async fn transaction_by_hash(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        json(&self.transaction_value(params.hash(0, "hash")?).await?)
    }

    pub(super) async fn transaction_value(&self, hash: Hash) -> Result<Value, RpcError> {
        match self.ledger.transaction(hash).await.map_err(|error| query_error(&error))? {
            Some(TransactionInfo { bytes, inclusion }) => {
                whole_transaction(&bytes, &inclusion.receipt, inclusion.block)
            }
            None => Ok(Value::Null),
        }
    }

    /// `eth_getTransactionReceipt(hash)`.
    pub(super) async fn transaction_receipt(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let found =
            self.ledger.transaction(params.hash(0, "hash")?).await.map_err(|error| query_error(&error))?;
        let Some(TransactionInfo { bytes, inclusion }) = found else { return json(&Value::Null) };
        let receipt = &inclusion.receipt;
        let mut first_log = 0;
        if !receipt.events.is_empty() {
            let before = self.receipts(receipt.height).await?;
            first_log = before.iter().take(receipt.index as usize).map(|receipt| receipt.events.len()).sum();
        }
        json(&format::receipt(receipt, kind(&bytes), inclusion.block, first_log))
    }

    /// `eth_getBlockByNumber(block, whole?)`.
    pub(super) async fn block_by_number(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let block = self.block(BlockTag::read(params, 0)?).await?;
        self.block_json(block, params).await
    }

    /// `eth_getBlockByHash(hash, whole?)`.
    pub(super) async fn block_by_hash(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let block = self.block(BlockTag::Hash(params.hash(0, "hash")?)).await?;
        self.block_json(block, params).await
    }

    async fn block_json(&self, block: Option<BlockInfo>, params: &Params<'_>) -> Result<Json, RpcError> {
        let Some(BlockInfo { hash, block, hashes }) = block else { return json(&Value::Null) };
        let receipts = self.receipts(block.header.height).await?;
        let transactions = if params.get(1, "whole transactions")?.unwrap_or(false) {
            let whole = block.transactions.iter().zip(&receipts);
            let whole = whole.map(|(bytes, receipt)| whole_transaction(bytes, receipt, hash));
            Transactions::Whole(whole.collect::<Result<_, _>>()?)
        } else {
            Transactions::Hashes(&hashes)
        };
        let size = format::size(&block);
        let bloom = format::bloom(receipts.iter().flat_map(|receipt| &receipt.events));
        json(&format::block(&block.header, hash, size, &self.parameters, transactions, &bloom))
    }
}

/// An included transaction, as `eth_getTransactionByHash` shows it.
fn whole_transaction(bytes: &[u8], receipt: &Receipt, block: Hash) -> Result<Value, RpcError> {
    let transaction = Transaction::decode(bytes)
        .map_err(|error| RpcError::internal(format!("a stored transaction is damaged: {error}")))?;
    let place = Place { block, height: receipt.height.0, index: receipt.index };
    Ok(format::transaction(&transaction, receipt.sender, Some(place), Some(receipt.gas_price)))
}

/// The envelope type of an encoded transaction.
fn kind(bytes: &[u8]) -> u8 {
    match bytes.first() {
        Some(&native::TAG) => native::TAG,
        Some(&tag @ 0..=0x7f) => tag,
        _ => 0,
    }
}
