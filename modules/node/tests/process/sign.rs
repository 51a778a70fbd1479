//! Signing transactions of the development chain.

use shroud::crypto::Address;
use shroud::crypto::ed25519::SigningKey;
use shroud::crypto::secp256k1;
use shroud::dev;
use shroud::ledger::transaction::Action;
use shroud::ledger::transaction::ethereum::{EthereumFees, EthereumRequest};
use shroud::ledger::transaction::native::NativeBody;
use shroud::ledger::{ChainId, GCC, Gas, Nonce};

const GAS_PRICE: u128 = 1_000_000_000;

/// One of the development chain's funded accounts.
pub(crate) struct Sender {
    key: SigningKey,
    pub(crate) address: String,
}

impl Sender {
    pub(crate) fn new(index: u32) -> Self {
        Self {
            key: SigningKey::from_seed(&dev::native_seed(index)),
            address: dev::native_address(index).to_string(),
        }
    }

    /// An address that nobody has, for each sender its own.
    pub(crate) fn sink(index: u32) -> String {
        let mut bytes = [0xab; 20];
        bytes[16..].copy_from_slice(&index.to_be_bytes());
        Address(bytes).to_string()
    }

    pub(crate) fn transfer(&self, nonce: u64, to: String, amount: u128) -> String {
        self.transfer_on_chain(dev::CHAIN_ID, nonce, to, amount)
    }

    pub(crate) fn transfer_on_chain(&self, chain: u64, nonce: u64, to: String, amount: u128) -> String {
        let action = Action::Transfer { to: to.parse().expect("an address"), asset: GCC, amount };
        self.sign(chain, nonce, 21_000, action)
    }

    pub(crate) fn deploy(&self, nonce: u64, code: &[u8]) -> String {
        self.sign(dev::CHAIN_ID, nonce, 50_000_000, Action::Deploy { code: code.to_vec(), input: Vec::new() })
    }

    pub(crate) fn call(&self, nonce: u64, contract: &str, input: &[u8], gas: u64) -> String {
        let contract = contract.parse().expect("an address");
        let action = Action::Call { contract, asset: GCC, value: 0, input: input.to_vec() };
        self.sign(dev::CHAIN_ID, nonce, gas, action)
    }

    fn sign(&self, chain: u64, nonce: u64, gas: u64, action: Action) -> String {
        let body = NativeBody {
            chain_id: ChainId(chain),
            nonce: Nonce(nonce),
            gas_limit: Gas(gas),
            gas_price: GAS_PRICE,
            action,
        };
        shroud::wire::hex::data(&body.sign(&self.key).encode())
    }
}

/// One of the funded accounts with an Ethereum key, sending transfers as large as wanted.
pub(crate) struct BulkySender {
    key: secp256k1::SigningKey,
    pub(crate) address: String,
}

impl BulkySender {
    pub(crate) fn new(index: u32) -> Self {
        Self {
            key: secp256k1::SigningKey::from_secret(&dev::ethereum_secret(index)).expect("a key"),
            address: dev::ethereum_address(index).expect("a key").to_string(),
        }
    }

    /// A transfer with `bytes` bytes of data that nobody reads.
    pub(crate) fn transfer(&self, nonce: u64, to: String, amount: u128, bytes: usize) -> String {
        let request = EthereumRequest {
            chain_id: ChainId(dev::CHAIN_ID),
            nonce: Nonce(nonce),
            gas_limit: Gas(21_000 + 16 * bytes as u64),
            fees: EthereumFees::Legacy { gas_price: GAS_PRICE },
            to: to.parse().expect("an address"),
            value: amount,
            input: vec![1; bytes],
        };
        shroud::wire::hex::data(&request.sign(&self.key).expect("a signature"))
    }
}
