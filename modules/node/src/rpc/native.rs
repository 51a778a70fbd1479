//! `shroud_*`: the native forms.

use super::error::{call_error, query_error};
use super::params::{BlockTag, Params};
use super::{Rpc, call, format, json};
use serde_json::{Value, json as object};
use shroud_ghostwire::rpc::{Json, RpcError};
use shroud_ledger::state;
use shroud_runtime::Runtime;
use shroud_vm::{Outcome, Verdict};
use shroud_wire::hex::{data, quantity};

impl<R: Runtime> Rpc<R> {
    /// `shroud_sendTransaction(data)`: the outcome, once it is durable.
    pub(super) async fn send_native(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let included = self.submit(&params.data(0, "transaction")?).await?;
        json(&format::outcome(&included.receipt))
    }

    /// `shroud_getAccount(address)`: nonce, code and all balances with their assets' names.
    pub(super) async fn native_account(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let address = params.address(0, "address")?;
        let (tree, block) = self.state(BlockTag::Latest).await?;
        let internal = |error: state::StateError| RpcError::internal(error.to_string());
        let account = state::account(&tree, address).map_err(internal)?;
        let mut balances = Vec::new();
        for (id, amount) in account.balances() {
            let asset = state::asset(&tree, *id).map_err(internal)?;
            balances.push(object!({
                "asset": quantity(id.0),
                "symbol": asset.as_ref().map(|asset| asset.symbol.as_str()),
                "decimals": asset.as_ref().map(|asset| asset.decimals),
                "amount": quantity(*amount),
            }));
        }
        json(&object!({
            "address": address,
            "nonce": quantity(account.nonce.0),
            "balances": balances,
            "codeHash": account.code,
            "blockNumber": quantity(block.height.0),
        }))
    }

    /// `shroud_getTransaction(hash)`: the transaction, its bytes and what became of it; `null` when it is not known.
    pub(super) async fn native_transaction(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let found =
            self.ledger.transaction(params.hash(0, "hash")?).await.map_err(|error| query_error(&error))?;
        let Some(found) = found else { return json(&Value::Null) };
        json(&object!({
            "transaction": self.transaction_value(found.inclusion.receipt.transaction).await?,
            "raw": data(&found.bytes),
            "outcome": format::outcome(&found.inclusion.receipt),
            "blockHash": found.inclusion.block,
        }))
    }

    /// `shroud_viewCall({to, data, from?, gas?})`: how a read-only call of a contract ends, well or badly.
    pub(super) async fn view_call(&self, params: &Params<'_>) -> Result<Json, RpcError> {
        let request: call::CallRequest =
            params.get(0, "call")?.ok_or_else(|| super::params::wrong("call", "it is missing"))?;
        let (tree, block) = self.state(BlockTag::read(params, 1)?).await?;
        let outcome = self
            .covenant
            .view(tree, block, request.contract_call()?)
            .await
            .map_err(|error| call_error(&error))?;
        json(&outcome_value(&outcome))
    }

    /// `shroud_stateCommitment()`: the Merkle root over the whole durable state.
    pub(super) async fn state_commitment(&self, _: &Params<'_>) -> Result<Json, RpcError> {
        let snapshot = self.ledger.snapshot();
        json(&object!({
            "height": quantity(snapshot.header.height.0),
            "commitment": snapshot.header.state_root,
        }))
    }
}

fn outcome_value(outcome: &Outcome) -> Value {
    let mut value = object!({ "status": outcome.verdict.name(), "gasUsed": quantity(outcome.gas_used) });
    let detail = match &outcome.verdict {
        Verdict::Success { output, .. } => Some(("output", data(output))),
        Verdict::Revert { reason } => Some(("reason", data(reason))),
        Verdict::Trap { message } => Some(("reason", message.clone())),
        Verdict::InvalidFunction { selector } => Some(("reason", quantity(*selector))),
        _ => None,
    };
    if let (Some((name, detail)), Some(fields)) = (detail, value.as_object_mut()) {
        fields.insert(name.to_owned(), detail.into());
        if !outcome.debug_log.is_empty() {
            fields.insert("log".to_owned(), outcome.debug_log.clone().into());
        }
    }
    value
}
