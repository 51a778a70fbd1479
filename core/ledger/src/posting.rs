//! Double entry: every effect as debits and credits that sum to zero per asset.

use std::collections::BTreeMap;

use shroud_crypto::Address;

use crate::state::{Account, Asset, StateError, StateKey};
use crate::{AssetId, StateTree};

/// One side of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Whose account.
    pub account: LedgerAccount,
    /// Of what.
    pub asset: AssetId,
    /// Which side. Accounts of holders are the ledger's liabilities: a credit is what they gain.
    pub side: Side,
    /// How much, in base units.
    pub amount: u128,
}

/// An account of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LedgerAccount {
    /// Where an asset comes from: debited with all that was ever issued.
    Issuance,
    /// A holder.
    Holder(Address),
}

/// A side of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The holder has less.
    Debit,
    /// The holder has more.
    Credit,
}

impl Posting {
    /// A holder has less.
    pub const fn debit(holder: Address, asset: AssetId, amount: u128) -> Self {
        Self { account: LedgerAccount::Holder(holder), asset, side: Side::Debit, amount }
    }

    /// A holder has more.
    pub const fn credit(holder: Address, asset: AssetId, amount: u128) -> Self {
        Self { account: LedgerAccount::Holder(holder), asset, side: Side::Credit, amount }
    }

    /// A movement from one holder to another.
    pub const fn transfer(from: Address, to: Address, asset: AssetId, amount: u128) -> [Self; 2] {
        [Self::debit(from, asset, amount), Self::credit(to, asset, amount)]
    }
}

/// Whether the debits equal the credits of each asset.
pub fn is_balanced(postings: &[Posting]) -> bool {
    let mut sums: BTreeMap<AssetId, (u128, u128)> = BTreeMap::new();
    for posting in postings {
        let (debits, credits) = sums.entry(posting.asset).or_default();
        let side = match posting.side {
            Side::Debit => debits,
            Side::Credit => credits,
        };
        match side.checked_add(posting.amount) {
            Some(sum) => *side = sum,
            None => return false,
        }
    }
    sums.values().all(|(debits, credits)| debits == credits)
}

/// The books of one asset, taken from a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// The asset.
    pub asset: AssetId,
    /// What the issuance account is debited with: all that was ever issued.
    pub supply: u128,
    /// What the holders are credited with; `None`: more than 128 bits hold.
    pub holdings: Option<u128>,
}

impl TrialBalance {
    /// Whether debits equal credits.
    pub fn is_balanced(&self) -> bool {
        self.holdings == Some(self.supply)
    }
}

/// Takes the trial balance of each asset: reads every account. Balances of assets that do not exist are reported with
/// supply zero.
pub fn trial_balance(tree: &StateTree) -> Result<Vec<TrialBalance>, StateError> {
    let mut books: BTreeMap<AssetId, (u128, Option<u128>)> = BTreeMap::new();
    for (key, value) in tree {
        let key = StateKey::decode(key).map_err(StateError::Key)?;
        match key {
            StateKey::Asset(id) => {
                let asset = Asset::decode(value).map_err(|error| StateError::Value { key, error })?;
                books.entry(id).or_insert((0, Some(0))).0 = asset.supply;
            }
            StateKey::Account(_) => {
                let account = Account::decode(value).map_err(|error| StateError::Value { key, error })?;
                for (asset, amount) in account.balances() {
                    let (_, holdings) = books.entry(*asset).or_insert((0, Some(0)));
                    *holdings = holdings.and_then(|sum| sum.checked_add(*amount));
                }
            }
            _ => {}
        }
    }
    let balances =
        books.into_iter().map(|(asset, (supply, holdings))| TrialBalance { asset, supply, holdings });
    Ok(balances.collect())
}
