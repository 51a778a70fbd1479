//! The genesis file: what a chain starts with.

mod amount;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shroud_crypto::{Address, Hash, keccak256_all};

use crate::block::{BlockHeader, EMPTY_LIST_ROOT};
use crate::codec::Writer as _;
use crate::gas;
use crate::posting::{LedgerAccount, Posting, Side};
use crate::state::{Account, Asset, ChainParameters, MAX_ASSETS, MAX_NAME_BYTES, MAX_SYMBOL_BYTES, StateKey};
use crate::{AssetId, ChainId, GCC, Gas, Height, StateTree, Timestamp};

pub use amount::{Amount, Balances};

/// The largest genesis file that is read: about 300,000 accounts.
pub const MAX_GENESIS_BYTES: usize = 64 * 1024 * 1024;
/// The most decimals of an asset: more do not fit 128 bits.
pub const MAX_DECIMALS: u8 = 36;
/// GCC's decimals, as wallets expect of the asset that pays for gas.
pub const GCC_DECIMALS: u8 = 18;
/// GCC's symbol.
pub const GCC_SYMBOL: &str = "GCC";
/// The latest beginning of a chain: beyond it, milliseconds do not fit 64 bits.
const MAX_TIMESTAMP_SECONDS: u64 = u64::MAX / 1000;

/// The file as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// The chain's identity.
    pub chain_id: u64,
    /// When the chain begins, in seconds since 1970 (UTC).
    pub timestamp: u64,
    /// The price of a gas, in base units of GCC.
    pub gas_price: Amount,
    /// The most gas of a block.
    pub block_gas_limit: u64,
    /// Who is paid for gas.
    pub fee_account: Address,
    /// The assets. GCC must be among them, with number 0 and 18 decimals.
    pub assets: Vec<GenesisAsset>,
    /// Who holds what.
    pub accounts: Vec<GenesisAccount>,
}

/// An asset of the genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAsset {
    /// Its number.
    pub id: u32,
    /// Its short name: capital letters and digits.
    pub symbol: String,
    /// How many decimals of a whole unit one base unit is.
    pub decimals: u8,
    /// Its long name.
    pub name: String,
}

/// An account of the genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Its address.
    pub address: Address,
    /// By symbol, in base units.
    pub balances: Balances,
}

/// A genesis file that was found valid, and the state that it makes.
#[derive(Clone, Debug)]
pub struct Genesis {
    file: GenesisFile,
    parameters: ChainParameters,
    tree: StateTree,
    header: BlockHeader,
    postings: Vec<Posting>,
}

/// Why a genesis file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Too large to read.
    #[error("the genesis file has {bytes} bytes; at most {MAX_GENESIS_BYTES} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the JSON of a genesis file.
    #[error("the genesis file is not valid JSON of its kind: {0}")]
    Json(String),
    /// A number out of its range.
    #[error("the genesis file's {field} is {value}; it must be {rule}")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// What it is.
        value: u128,
        /// What it must be.
        rule: &'static str,
    },
    /// Too many assets.
    #[error("the genesis file has {count} assets; at most {MAX_ASSETS} are allowed")]
    TooManyAssets {
        /// How many.
        count: usize,
    },
    /// No GCC.
    #[error("the genesis file has no asset with id 0, symbol GCC and 18 decimals; gas is paid with it")]
    NoGcc,
    /// A symbol that is none.
    #[error("the asset symbol {symbol:?} must be 1 to {MAX_SYMBOL_BYTES} capital letters and digits")]
    Symbol {
        /// The symbol.
        symbol: String,
    },
    /// A name that is too long.
    #[error("the name of asset {symbol} has {bytes} bytes; at most {MAX_NAME_BYTES} are allowed")]
    Name {
        /// Whose.
        symbol: String,
        /// Its length.
        bytes: usize,
    },
    /// Too many decimals.
    #[error("asset {symbol} has {decimals} decimals; at most {MAX_DECIMALS} are allowed")]
    Decimals {
        /// Whose.
        symbol: String,
        /// How many.
        decimals: u8,
    },
    /// Two assets with one number.
    #[error("two assets have the id {id}")]
    DuplicateId {
        /// The number.
        id: u32,
    },
    /// Two assets with one symbol.
    #[error("two assets have the symbol {symbol}")]
    DuplicateSymbol {
        /// The symbol.
        symbol: String,
    },
    /// One account twice.
    #[error("the account {address} is listed twice")]
    DuplicateAccount {
        /// The account.
        address: Address,
    },
    /// A balance of an asset that there is not.
    #[error("account {address} holds the unknown asset {symbol}")]
    UnknownAsset {
        /// Who.
        address: Address,
        /// What.
        symbol: String,
    },
    /// More than 128 bits hold.
    #[error("the balances of asset {symbol} sum to more than 128 bits")]
    Supply {
        /// Of what.
        symbol: String,
    },
}

impl Genesis {
    /// Reads and checks a file.
    pub fn from_json(text: &[u8]) -> Result<Self, GenesisError> {
        if text.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::TooLarge { bytes: text.len() });
        }
        let file = serde_json::from_slice(text).map_err(|error| GenesisError::Json(error.to_string()))?;
        Self::new(file)
    }

    /// Checks a file's content and makes the initial state.
    pub fn new(file: GenesisFile) -> Result<Self, GenesisError> {
        check_numbers(&file)?;
        let assets = check_assets(&file)?;
        let parameters = ChainParameters {
            genesis: hash(&file),
            chain_id: ChainId(file.chain_id),
            gas_price: file.gas_price.0,
            block_gas_limit: Gas(file.block_gas_limit),
            fee_account: file.fee_account,
        };
        let (tree, postings) = issue(&file, assets, &parameters)?;
        let header = BlockHeader {
            height: Height(0),
            parent: parameters.genesis,
            timestamp: Timestamp(file.timestamp.saturating_mul(1000)),
            transactions_root: EMPTY_LIST_ROOT,
            receipts_root: EMPTY_LIST_ROOT,
            state_root: tree.root(),
            gas_used: Gas(0),
            count: 0,
        };
        Ok(Self { file, parameters, tree, header, postings })
    }

    /// The hash of the content: the same for files that mean the same.
    pub const fn hash(&self) -> Hash {
        self.parameters.genesis
    }

    /// The content.
    pub const fn file(&self) -> &GenesisFile {
        &self.file
    }

    /// The chain's parameters.
    pub const fn parameters(&self) -> &ChainParameters {
        &self.parameters
    }

    /// The state before the first block.
    pub const fn tree(&self) -> &StateTree {
        &self.tree
    }

    /// The header at height 0, the first block's parent. Its own parent is the genesis hash.
    pub const fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// The issuance, as double entry.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }
}

fn check_numbers(file: &GenesisFile) -> Result<(), GenesisError> {
    let out = |field, value: u128, rule| Err(GenesisError::OutOfRange { field, value, rule });
    // EIP-155's v is twice the chain id and 35 or 36, and some wallets use signed numbers.
    if file.chain_id == 0 || file.chain_id > (1 << 62) - 19 {
        return out("chain_id", file.chain_id.into(), "between 1 and 2^62 - 19");
    }
    if file.timestamp > MAX_TIMESTAMP_SECONDS {
        return out("timestamp", file.timestamp.into(), "in seconds since 1970");
    }
    if file.block_gas_limit < gas::TRANSACTION || file.block_gas_limit > i64::MAX as u64 {
        return out("block_gas_limit", file.block_gas_limit.into(), "between 21000 and 2^63 - 1");
    }
    if file.gas_price.0.checked_mul(file.block_gas_limit.into()).is_none() {
        return out(
            "gas_price",
            file.gas_price.0,
            "low enough that a full block's gas can be paid in 128 bits",
        );
    }
    Ok(())
}

fn check_assets(file: &GenesisFile) -> Result<BTreeMap<&str, Asset>, GenesisError> {
    if file.assets.len() > MAX_ASSETS {
        return Err(GenesisError::TooManyAssets { count: file.assets.len() });
    }
    let mut ids = BTreeSet::new();
    let mut assets = BTreeMap::new();
    for asset in &file.assets {
        let symbol = || asset.symbol.clone();
        let letters = asset.symbol.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if asset.symbol.is_empty() || asset.symbol.len() > MAX_SYMBOL_BYTES || !letters {
            return Err(GenesisError::Symbol {
                symbol: symbol().chars().take(MAX_SYMBOL_BYTES + 1).collect(),
            });
        }
        if asset.name.len() > MAX_NAME_BYTES {
            return Err(GenesisError::Name { symbol: symbol(), bytes: asset.name.len() });
        }
        if asset.decimals > MAX_DECIMALS {
            return Err(GenesisError::Decimals { symbol: symbol(), decimals: asset.decimals });
        }
        if !ids.insert(asset.id) {
            return Err(GenesisError::DuplicateId { id: asset.id });
        }
        let record = Asset {
            id: AssetId(asset.id),
            symbol: symbol(),
            decimals: asset.decimals,
            name: asset.name.clone(),
            supply: 0,
        };
        if assets.insert(asset.symbol.as_str(), record).is_some() {
            return Err(GenesisError::DuplicateSymbol { symbol: symbol() });
        }
    }
    let is_gcc = |asset: &Asset| asset.id == GCC && asset.decimals == GCC_DECIMALS;
    if assets.get(GCC_SYMBOL).is_some_and(is_gcc) { Ok(assets) } else { Err(GenesisError::NoGcc) }
}

/// Gives the accounts what the file says, from the issuance account.
fn issue(
    file: &GenesisFile,
    mut assets: BTreeMap<&str, Asset>,
    parameters: &ChainParameters,
) -> Result<(StateTree, Vec<Posting>), GenesisError> {
    let mut tree = StateTree::new();
    let mut postings = Vec::new();
    let mut seen = BTreeSet::new();
    for GenesisAccount { address, balances } in &file.accounts {
        if !seen.insert(*address) {
            return Err(GenesisError::DuplicateAccount { address: *address });
        }
        let mut account = Account::default();
        for (symbol, amount) in &balances.0 {
            let Some(asset) = assets.get_mut(symbol.as_str()) else {
                return Err(GenesisError::UnknownAsset { address: *address, symbol: symbol.clone() });
            };
            asset.supply = asset
                .supply
                .checked_add(amount.0)
                .ok_or_else(|| GenesisError::Supply { symbol: symbol.clone() })?;
            account.set_balance(asset.id, amount.0);
            if amount.0 != 0 {
                let (account, asset, amount) = (LedgerAccount::Issuance, asset.id, amount.0);
                postings.push(Posting { account, asset, side: Side::Debit, amount });
                postings.push(Posting::credit(*address, asset, amount));
            }
        }
        if !account.is_default() {
            tree.insert(&StateKey::Account(*address).encode(), &account.encode());
        }
    }
    for asset in assets.values() {
        tree.insert(&StateKey::Asset(asset.id).encode(), &asset.encode());
    }
    tree.insert(&StateKey::Parameters.encode(), &parameters.encode());
    debug_assert!(crate::posting::is_balanced(&postings));
    Ok((tree, postings))
}

/// The hash of what the file means: assets by number, accounts by address, balances by symbol.
fn hash(file: &GenesisFile) -> Hash {
    let mut out = Vec::new();
    out.put_u64(file.chain_id);
    out.put_u64(file.timestamp);
    out.put_u128(file.gas_price.0);
    out.put_u64(file.block_gas_limit);
    out.put(&file.fee_account.0);
    let mut assets: Vec<_> = file.assets.iter().collect();
    assets.sort_by_key(|asset| asset.id);
    out.put_count(assets.len());
    for asset in assets {
        out.put_u32(asset.id);
        out.put_bytes(asset.symbol.as_bytes());
        out.put_u8(asset.decimals);
        out.put_bytes(asset.name.as_bytes());
    }
    let mut accounts: Vec<_> = file.accounts.iter().collect();
    accounts.sort_by_key(|account| account.address);
    out.put_count(accounts.len());
    for account in accounts {
        out.put(&account.address.0);
        out.put_count(account.balances.0.len());
        for (symbol, amount) in &account.balances.0 {
            out.put_bytes(symbol.as_bytes());
            out.put_u128(amount.0);
        }
    }
    keccak256_all(&[b"shroud genesis v1", &out])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posting::{is_balanced, trial_balance};

    const FILE: &str = r#"{
        "chain_id": 7331, "timestamp": 1700000000, "gas_price": "1000000000", "block_gas_limit": 1000000000,
        "fee_account": "0x00000000000000000000000000000000000000fe",
        "assets": [
            {"id": 0, "symbol": "GCC", "decimals": 18, "name": "Ghost Compute Credit"},
            {"id": 3, "symbol": "GHOST", "decimals": 18, "name": "Ghost"}
        ],
        "accounts": [
            {"address": "0x0000000000000000000000000000000000000002", "balances": {"GHOST": "5", "GCC": "7"}},
            {"address": "0x0000000000000000000000000000000000000001", "balances": {"GCC": "340282366920938463463374607431768211448"}}
        ]
    }"#;

    fn refuse(from: &str, to: &str) -> GenesisError {
        assert!(FILE.contains(from), "{from}");
        Genesis::from_json(FILE.replacen(from, to, 1).as_bytes()).unwrap_err()
    }

    #[test]
    fn initial_state_is_in_balance() {
        let genesis = Genesis::from_json(FILE.as_bytes()).unwrap();
        assert!(is_balanced(genesis.postings()));
        let books = trial_balance(genesis.tree()).unwrap();
        assert_eq!(books.len(), 2);
        assert!(books.iter().all(|book| book.is_balanced()));
        assert_eq!(books[0].supply, u128::MAX);
        assert_eq!(crate::state::parameters(genesis.tree()).unwrap(), *genesis.parameters());
        for (key, value) in genesis.tree() {
            assert_eq!(crate::state::check_entry(key, value), Ok(()));
        }
    }

    #[test]
    fn hash_depends_on_meaning_not_order() {
        let genesis = Genesis::from_json(FILE.as_bytes()).unwrap();
        let mut file = genesis.file().clone();
        file.accounts.reverse();
        file.assets.reverse();
        let reordered = Genesis::new(file.clone()).unwrap();
        assert_eq!(reordered.hash(), genesis.hash());
        assert_eq!(reordered.tree().root(), genesis.tree().root());
        file.timestamp += 1;
        assert_ne!(Genesis::new(file.clone()).unwrap().hash(), genesis.hash());
        let text = serde_json::to_vec(genesis.file()).unwrap();
        assert_eq!(Genesis::from_json(&text).unwrap().hash(), genesis.hash());
    }

    #[test]
    fn refusals_are_precise() {
        assert!(matches!(refuse("7331", "0"), GenesisError::OutOfRange { field: "chain_id", .. }));
        assert!(matches!(
            refuse("7331", "9223372036854775807"),
            GenesisError::OutOfRange { field: "chain_id", .. }
        ));
        assert!(matches!(
            refuse("1000000000\"", "340282366920938463463374607431768211455\""),
            GenesisError::OutOfRange { field: "gas_price", .. }
        ));
        assert!(matches!(
            refuse("\"block_gas_limit\": 1000000000", "\"block_gas_limit\": 20999"),
            GenesisError::OutOfRange { field: "block_gas_limit", .. }
        ));
        assert_eq!(refuse("\"id\": 0", "\"id\": 1"), GenesisError::NoGcc);
        assert_eq!(refuse("\"id\": 3", "\"id\": 0"), GenesisError::DuplicateId { id: 0 });
        assert_eq!(
            refuse("\"symbol\": \"GHOST\"", "\"symbol\": \"GCC\""),
            GenesisError::DuplicateSymbol { symbol: "GCC".into() }
        );
        assert_eq!(
            refuse("\"symbol\": \"GHOST\"", "\"symbol\": \"ghost\""),
            GenesisError::Symbol { symbol: "ghost".into() }
        );
        assert!(matches!(refuse("\"GHOST\": \"5\"", "\"MANA\": \"5\""), GenesisError::UnknownAsset { .. }));
        assert!(matches!(
            refuse("0000000000000002", "0000000000000001"),
            GenesisError::DuplicateAccount { .. }
        ));
        assert_eq!(refuse("\"GCC\": \"7\"", "\"GCC\": \"8\""), GenesisError::Supply { symbol: "GCC".into() });
        assert!(matches!(refuse("\"chain_id\"", "\"chainid\""), GenesisError::Json(_)));
        for amount in [
            "\"-1\"",
            "\"1.5\"",
            "1.5",
            "\"\"",
            "\"340282366920938463463374607431768211456\"",
            "\"+1\"",
            "\"01\"",
        ] {
            assert!(matches!(refuse("\"7\"", amount), GenesisError::Json(_)), "{amount}");
        }
        let twice = refuse("\"GHOST\": \"5\"", "\"GCC\": \"5\"");
        assert!(
            matches!(&twice, GenesisError::Json(text) if text.contains("GCC is listed twice")),
            "{twice}"
        );
        let long = refuse("18, \"name\": \"Ghost\"", &format!("18, \"name\": \"{}\"", "x".repeat(65)));
        assert!(matches!(long, GenesisError::Name { bytes: 65, .. }));
    }
}
