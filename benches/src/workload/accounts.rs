//! Keys and addresses from a seed, and the genesis that gives them funds.

use crate::rng::Rng;
use shroud_crypto::{Address, ed25519, secp256k1};
use shroud_ledger::genesis::{Balances, GenesisAccount, GenesisAsset, GenesisFile};
use shroud_ledger::{ChainId, GCC};

/// The chain of all runs.
pub(crate) const CHAIN: ChainId = ChainId(7_357);
/// The price of a gas.
pub(crate) const GAS_PRICE: u128 = 1_000_000_000;
/// Accounts of each kind: one for each connection at most.
pub(crate) const SENDERS: usize = super::OPEN_CONNECTIONS;
/// Accounts that receive.
pub(crate) const RECEIVERS: usize = 1_024;
/// Accounts that are only read: their balances are known.
pub(crate) const READ: usize = 1_024;
/// What a sender starts with: gas for far more transactions than any run has.
const FUNDS: u128 = 1_000_000 * 1_000_000_000_000_000_000;
/// No block is cut short by gas: batches end by time and size.
const BLOCK_GAS_LIMIT: u64 = 10_000_000_000;

pub(crate) struct Accounts {
    pub(crate) native: Vec<Sender<ed25519::SigningKey>>,
    pub(crate) callers: Vec<Sender<ed25519::SigningKey>>,
    pub(crate) ethereum: Vec<Sender<secp256k1::SigningKey>>,
    pub(crate) deployer: ed25519::SigningKey,
    pub(crate) receivers: Vec<Address>,
    pub(crate) read: Vec<(Address, u128)>,
}

pub(crate) struct Sender<K> {
    pub(crate) key: K,
    pub(crate) nonce: u64,
}

impl Accounts {
    pub(crate) fn new(rng: &Rng) -> Self {
        let native = |purpose: &str| {
            let mut rng = rng.fork(purpose);
            (0..SENDERS)
                .map(|_| Sender { key: ed25519::SigningKey::from_seed(&rng.bytes32()), nonce: 0 })
                .collect()
        };
        let mut secrets = rng.fork("ethereum senders");
        // A draw that is no key, one in 2^128, is drawn again.
        let ethereum = std::iter::repeat_with(|| secp256k1::SigningKey::from_secret(&secrets.bytes32()))
            .flatten()
            .map(|key| Sender { key, nonce: 0 })
            .take(SENDERS)
            .collect();
        let address = |bytes: [u8; 32]| {
            let mut address = [0; 20];
            address.copy_from_slice(&bytes[..20]);
            Address(address)
        };
        let (mut receivers, mut read) = (rng.fork("receivers"), rng.fork("read"));
        Self {
            native: native("native senders"),
            callers: native("callers"),
            ethereum,
            deployer: ed25519::SigningKey::from_seed(&rng.fork("deployer").bytes32()),
            receivers: (0..RECEIVERS).map(|_| address(receivers.bytes32())).collect(),
            read: (0..READ).map(|_| (address(read.bytes32()), u128::from(read.next_u64()) + 1)).collect(),
        }
    }

    pub(crate) fn genesis(&self) -> GenesisFile {
        let funded = |address: Address, amount: u128| GenesisAccount {
            address,
            balances: Balances([("GCC".to_owned(), shroud_ledger::genesis::Amount(amount))].into()),
        };
        let native = self.native.iter().chain(&self.callers).map(|sender| sender.key.verifying_key());
        let native = native.chain([self.deployer.verifying_key()]).map(Address::from_ed25519);
        let ethereum = self.ethereum.iter().map(|sender| sender.key.verifying_key().address());
        let senders = native.chain(ethereum).map(|address| funded(address, FUNDS));
        GenesisFile {
            chain_id: CHAIN.0,
            timestamp: 1_767_225_600,
            gas_price: shroud_ledger::genesis::Amount(GAS_PRICE),
            block_gas_limit: BLOCK_GAS_LIMIT,
            fee_account: Address([0xfe; 20]),
            assets: vec![GenesisAsset { id: GCC.0, symbol: "GCC".into(), decimals: 18, name: "Gas".into() }],
            accounts: senders
                .chain(self.read.iter().map(|(address, amount)| funded(*address, *amount)))
                .collect(),
        }
    }
}
