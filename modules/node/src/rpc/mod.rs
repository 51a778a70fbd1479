//! The node's JSON-RPC methods: what Ethereum's clients call (`eth_*`, `net_*`, `web3_*`) and the native `shroud_*`.
//!
//! Everything that is read comes from the last durable state: `latest`, `safe`, `finalized` and `pending` mean the same
//! here, because an acknowledged block is final.

mod call;
mod error;
mod eth;
mod feed;
mod format;
mod native;
mod params;
mod subscribe;
mod verify;

use crate::node::Ledger;
use error::{decode_error, query_error, submit_error, verify_error};
use feed::Feed;
use params::{BlockTag, Params};
use serde_json::value::RawValue;
use shroud_covenant::{BlockView, Covenant};
use shroud_ghostwire::rpc::{Code, Json, Methods, RpcError, Subscriptions};
use shroud_keystone::{BlockInfo, Inclusion};
use shroud_ledger::receipt::Receipt;
use shroud_ledger::state::ChainParameters;
use shroud_ledger::transaction::Transaction;
use shroud_ledger::{Height, StateTree};
use shroud_runtime::Runtime;
use subscribe::Subscribed;
use verify::Verifier;

/// What `web3_clientVersion` answers, with the backend behind it.
const VERSION: &str = concat!("shroud/", env!("CARGO_PKG_VERSION"));

/// The methods of one shard. Clones share.
#[derive(Clone)]
pub struct Rpc<R: Runtime> {
    runtime: R,
    ledger: Ledger<R>,
    covenant: Covenant<R>,
    parameters: ChainParameters,
    verifier: Verifier,
    feed: Feed<R>,
}

impl<R: Runtime> Rpc<R> {
    /// The methods of a shard over the node's ledger. Starts the shard's verifying tasks and its
    /// feed as children of this task.
    pub(crate) fn new(runtime: R, ledger: Ledger<R>, covenant: Covenant<R>) -> Self {
        let parameters = *ledger.genesis().parameters();
        let verifier = Verifier::start(&runtime, parameters.chain_id);
        let feed = Feed::start(&runtime, ledger.clone(), parameters);
        Self { runtime, ledger, covenant, parameters, verifier, feed }
    }

    /// Decodes, verifies and submits a transaction; ready once it is durable.
    async fn submit(&self, bytes: &[u8]) -> Result<Inclusion, RpcError> {
        let transaction = Transaction::decode(bytes).map_err(|error| decode_error(&error))?;
        let verified =
            self.verifier.verify(transaction).await.map_err(|lost| RpcError::internal(lost.to_string()))?;
        let verified = verified.map_err(|error| verify_error(&error))?;
        self.ledger.submit(verified).await.map_err(|error| submit_error(&error))
    }

    /// The state that a tag names. Only the latest durable one is kept.
    async fn state(&self, tag: BlockTag) -> Result<(StateTree, BlockView), RpcError> {
        let snapshot = self.ledger.snapshot();
        let latest = match tag {
            BlockTag::Latest => true,
            BlockTag::Earliest => snapshot.header.height == Height(0),
            BlockTag::Number(number) => snapshot.header.height.0 == number,
            BlockTag::Hash(hash) => snapshot.hash == hash,
        };
        if !latest {
            return Err(error::state_not_kept(snapshot.header.height));
        }
        let view = BlockView {
            chain_id: self.parameters.chain_id,
            height: snapshot.header.height,
            timestamp: snapshot.header.timestamp,
        };
        Ok((snapshot.tree.clone(), view))
    }

    /// The block that a tag names.
    async fn block(&self, tag: BlockTag) -> Result<Option<BlockInfo>, RpcError> {
        match tag {
            BlockTag::Latest => self.ledger.block_at(self.ledger.snapshot().header.height).await,
            BlockTag::Earliest => self.ledger.block_at(Height(0)).await,
            BlockTag::Number(number) => self.ledger.block_at(Height(number)).await,
            BlockTag::Hash(hash) => self.ledger.block_by_hash(hash).await,
        }
        .map_err(|error| query_error(&error))
    }

    /// The receipts of a block, for its logs.
    async fn receipts(&self, height: Height) -> Result<Vec<Receipt>, RpcError> {
        self.ledger.receipts_at(height).await.map_err(|error| query_error(&error))
    }
}

impl<R: Runtime> Methods for Rpc<R> {
    async fn call(&self, method: &str, params: Option<&RawValue>) -> Result<Json, RpcError> {
        let read = |least, most| Params::read(params, least, most);
        match method {
            "shroud_sendTransaction" => self.send_native(&read(1, 1)?).await,
            "eth_sendRawTransaction" => self.send_raw(&read(1, 1)?).await,
            "eth_getBalance" => self.balance(&read(1, 2)?).await,
            "eth_getTransactionCount" => self.transaction_count(&read(1, 2)?).await,
            "eth_getTransactionReceipt" => self.transaction_receipt(&read(1, 1)?).await,
            "eth_getTransactionByHash" => self.transaction_by_hash(&read(1, 1)?).await,
            "eth_blockNumber" => {
                read(0, 0)?;
                text(&shroud_wire::hex::quantity(self.ledger.snapshot().header.height.0))
            }
            "eth_chainId" => text(&shroud_wire::hex::quantity(self.parameters.chain_id.0)),
            "net_version" => text(&self.parameters.chain_id.0.to_string()),
            "web3_clientVersion" => text(&format!("{VERSION}/{}", self.runtime.backend())),
            "eth_gasPrice" => text(&shroud_wire::hex::quantity(self.parameters.gas_price)),
            // The price is fixed and blocks are not auctioned: a tip buys nothing.
            "eth_maxPriorityFeePerGas" => text("0x0"),
            "eth_feeHistory" => self.fee_history(&read(2, 3)?).await,
            "eth_estimateGas" => self.estimate_gas(&read(1, 3)?).await,
            "eth_call" => self.eth_call(&read(1, 4)?).await,
            "eth_getCode" => self.code(&read(1, 2)?).await,
            "eth_getBlockByNumber" => self.block_by_number(&read(1, 2)?).await,
            "eth_getBlockByHash" => self.block_by_hash(&read(1, 2)?).await,
            "shroud_getAccount" => self.native_account(&read(1, 1)?).await,
            "shroud_getTransaction" => self.native_transaction(&read(1, 1)?).await,
            "shroud_viewCall" => self.view_call(&read(1, 2)?).await,
            "shroud_stateCommitment" => self.state_commitment(&read(0, 0)?).await,
            "eth_subscribe" | "eth_unsubscribe" => Err(RpcError::new(
                Code::INVALID_REQUEST,
                format!(
                    "{method} needs a WebSocket connection, and a request of its own rather than a batch"
                ),
            )),
            _ => Err(RpcError::method_not_found(method)),
        }
    }
}

impl<R: Runtime> Subscriptions for Rpc<R> {
    type Subscriber = Subscribed<R>;

    fn subscriber(&self) -> Subscribed<R> {
        Subscribed::new(self.runtime.clone(), self.feed.clone())
    }
}

/// A result that is a string of hex digits or other plain characters.
fn text(text: &str) -> Result<Json, RpcError> {
    Ok(Json::string(text))
}

/// A result of any shape.
fn json(value: &impl serde::Serialize) -> Result<Json, RpcError> {
    Json::new(value).map_err(|error| RpcError::internal(error.to_string()))
}
