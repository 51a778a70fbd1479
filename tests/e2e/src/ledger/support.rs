//! A ledger in a directory of its own, and transactions for it.

#![allow(
    clippy::manual_async_fn,
    reason = "a declared `Send` is what rustc cannot infer for a named runtime"
)]

use shroud::crypto::{Address, ed25519, secp256k1};
use shroud::dev;
use shroud::fjall::FjallStore;
use shroud::keystone::{Config, Ledger, OpenError};
use shroud::ledger::store::Store;
use shroud::ledger::transaction::ethereum::{EthereumFees, EthereumRequest};
use shroud::ledger::transaction::native::NativeBody;
use shroud::ledger::transaction::{Action, Transaction, VerifiedTransaction, verify};
use shroud::ledger::{ChainId, GCC, Gas, Genesis, Nonce};
use shroud::runtime::Runtime;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The development chain's price of a gas.
pub const PRICE: u128 = 1_000_000_000;

/// The smallest segments there may be.
pub fn config() -> Config {
    Config { segment_bytes: 9 << 20, ..Config::default() }
}

/// Opens the ledger of a directory, with a store on fjall.
pub fn try_open<R: Runtime>(
    runtime: &R,
    directory: &Path,
    config: Config,
) -> impl Future<Output = Result<Ledger<R>, OpenError>> + Send {
    async move { open_with(runtime, directory, dev::genesis(), config).await }
}

/// The same on another chain.
pub fn open_with<R: Runtime>(
    runtime: &R,
    directory: &Path,
    genesis: Genesis,
    config: Config,
) -> impl Future<Output = Result<Ledger<R>, OpenError>> + Send {
    async move {
        let state = directory.join("state");
        let store = runtime.offload(move || FjallStore::open(&state)).await.expect("a thread")?;
        Ledger::open(runtime.clone(), directory, genesis, Arc::new(store) as Arc<dyn Store>, config).await
    }
}

/// Opens what must open.
pub fn open<R: Runtime>(runtime: &R, directory: &Path) -> impl Future<Output = Ledger<R>> + Send {
    async move { try_open(runtime, directory, config()).await.expect("the ledger opens") }
}

/// A native transaction of a development account.
pub fn native(index: u32, nonce: u64, gas_limit: u64, action: Action) -> VerifiedTransaction {
    let body = NativeBody {
        chain_id: ChainId(dev::CHAIN_ID),
        nonce: Nonce(nonce),
        gas_limit: Gas(gas_limit),
        gas_price: PRICE,
        action,
    };
    let key = ed25519::SigningKey::from_seed(&dev::native_seed(index));
    verified(&body.sign(&key).encode())
}

/// A transfer between development accounts.
pub fn transfer(from: u32, nonce: u64, to: u32, amount: u128) -> VerifiedTransaction {
    let to = dev::native_address(to);
    native(from, nonce, 50_000, Action::Transfer { to, asset: GCC, amount })
}

/// An Ethereum transfer with `bytes` bytes of data that nobody reads.
pub fn bulky(from: u32, nonce: u64, bytes: usize) -> VerifiedTransaction {
    let request = EthereumRequest {
        chain_id: ChainId(dev::CHAIN_ID),
        nonce: Nonce(nonce),
        gas_limit: Gas(21_000 + 16 * bytes as u64),
        fees: EthereumFees::Legacy { gas_price: PRICE },
        to: Address([7; 20]),
        value: 1,
        input: vec![1; bytes],
    };
    let key = secp256k1::SigningKey::from_secret(&dev::ethereum_secret(from)).expect("a key");
    verified(&request.sign(&key).expect("a signature"))
}

fn verified(bytes: &[u8]) -> VerifiedTransaction {
    verify(Transaction::decode(bytes).expect("an encoding"), ChainId(dev::CHAIN_ID)).expect("a signature")
}

/// The journal's segments in a directory.
pub fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(directory.join("journal"))
        .expect("the journal")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    paths.sort();
    paths
}

/// Removes the store, so that everything comes from the journal.
pub fn forget_store(directory: &Path) {
    std::fs::remove_dir_all(directory.join("state")).expect("the store");
}
