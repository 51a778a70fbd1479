//! A chain of one sender, and a backend to ask about it.

use std::sync::Arc;

use shroud_covenant::BlockView;
use shroud_crypto::Address;
use shroud_crypto::ed25519::SigningKey;
use shroud_executor_tokio::{CurrentThread, TokioExecutor};
use shroud_io_tokio::{TokioIo, probe_datagram};
use shroud_ledger::apply::{Applier, Progress};
use shroud_ledger::receipt::{Receipt, Status};
use shroud_ledger::transaction::native::NativeBody;
use shroud_ledger::transaction::{Action, Transaction, verify};
use shroud_ledger::{Gas, Genesis, Nonce, StateTree, Timestamp};
use shroud_runtime::compose::World;
use shroud_runtime::{CancellationToken, Capabilities, Composed, Config, Shard, Topology};
use shroud_vm::{CodeCache, Engine};

/// Enough for anything here that ends by itself.
pub(crate) const GAS: u64 = 5_000_000;

const SEED: [u8; 32] = [3; 32];

/// A ledger whose one account signs everything.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) engine: Engine,
    pub(crate) cache: CodeCache,
    genesis: Arc<Genesis>,
    /// All transactions so far, applied anew by whoever clones this.
    history: Vec<(Action, u64)>,
    state: StateTree,
    receipts: Vec<Receipt>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let sender = Address::from_ed25519(SigningKey::from_seed(&SEED).verifying_key());
        let file = format!(
            r#"{{
                "chain_id": 7777, "timestamp": 1700000000, "gas_price": "1", "block_gas_limit": 30000000,
                "fee_account": "{}",
                "assets": [{{ "id": 0, "symbol": "GCC", "decimals": 18, "name": "Gas" }}],
                "accounts": [{{ "address": "{sender}", "balances": {{ "GCC": "1000000000000000000" }} }}]
            }}"#,
            Address([0xfe; 20])
        );
        let genesis = Genesis::from_json(file.as_bytes()).unwrap();
        let state = genesis.tree().clone();
        Self {
            engine: Engine::new(),
            cache: CodeCache::default(),
            genesis: Arc::new(genesis),
            history: Vec::new(),
            state,
            receipts: Vec::new(),
        }
    }

    pub(crate) fn sender(&self) -> Address {
        Address::from_ed25519(SigningKey::from_seed(&SEED).verifying_key())
    }

    pub(crate) fn state(&self) -> StateTree {
        self.state.clone()
    }

    pub(crate) fn block(&self) -> BlockView {
        let header = self.genesis.header();
        BlockView {
            chain_id: self.genesis.parameters().chain_id,
            height: header.height.next(),
            timestamp: header.timestamp,
        }
    }

    /// Deploys a contract that is meant to work.
    pub(crate) fn deploy(&mut self, code: &[u8], input: &[u8]) -> Address {
        let receipt = self.apply(Action::Deploy { code: code.to_vec(), input: input.to_vec() }, GAS);
        assert_eq!(receipt.status, Status::Success);
        receipt.contract.unwrap()
    }

    /// Signs and applies a transaction: the whole history in one block each, from the genesis on.
    pub(crate) fn apply(&mut self, action: Action, gas_limit: u64) -> Receipt {
        self.history.push((action, gas_limit));
        let genesis = &self.genesis;
        let mut applier = Applier::new(
            *genesis.parameters(),
            self.engine.clone(),
            self.cache.clone(),
            genesis.tree().clone(),
            *genesis.header(),
        );
        self.receipts.clear();
        for (nonce, (action, gas_limit)) in self.history.iter().enumerate() {
            let body = NativeBody {
                chain_id: genesis.parameters().chain_id,
                nonce: Nonce(nonce as u64),
                gas_limit: Gas(*gas_limit),
                gas_price: genesis.parameters().gas_price,
                action: action.clone(),
            };
            let bytes = body.sign(&SigningKey::from_seed(&SEED)).encode();
            let transaction = Transaction::decode(&bytes).unwrap();
            let transaction = verify(transaction, genesis.parameters().chain_id).unwrap();
            applier.begin(Timestamp(1_700_000_001_000)).unwrap();
            let mut progress = applier.submit(&transaction).unwrap();
            while progress == Progress::Running {
                progress = applier.resume(100_000).unwrap();
            }
            assert_eq!(progress, Progress::Done { index: 0 });
            let block = applier.finish().unwrap();
            self.receipts.extend(block.receipts);
        }
        self.state = applier.tree().clone();
        self.receipts.last().unwrap().clone()
    }
}

/// What tests run on.
pub(crate) type Tokio = Composed<TokioExecutor, TokioIo>;

/// Runs `main` as the main task of a shard of one thread.
pub(crate) fn on_tokio<F, T>(main: impl FnOnce(Tokio) -> F) -> T
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let host = CurrentThread::new(None).unwrap();
    let executor = host.executor();
    let io = TokioIo::new(executor.handle().clone(), Arc::new(executor.clone()));
    let capabilities = Capabilities {
        topology: Topology::PerCore,
        executor: "tokio",
        reactor: "epoll",
        files: "blocking pool",
        datagram: probe_datagram().unwrap(),
    };
    let shard = Shard { index: 0, count: 1, workers: 1, topology: Topology::PerCore };
    let world = World::new(CancellationToken::new());
    let runtime = Composed::new("tokio", executor, io, shard, capabilities, &world);
    host.block_on(async move { runtime.run_main(&Config::single(), main).await }).unwrap()
}
