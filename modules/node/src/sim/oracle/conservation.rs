//! Nothing of any asset appears or disappears: the sum over all accounts is that of the genesis.

use crate::sim::evidence::Evidence;
use crate::sim::model::AccountModel;
use shroud_ledger::AssetId;
use std::collections::BTreeMap;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let (before, after) = (sums(evidence.model.genesis.values())?, sums(chain.accounts.values())?);
    if before == after {
        return Ok(());
    }
    let assets = before.keys().chain(after.keys());
    let sum = |sums: &BTreeMap<AssetId, u128>, asset| sums.get(asset).copied().unwrap_or(0);
    let wrong = assets.into_iter().find(|asset| sum(&before, asset) != sum(&after, asset));
    let Some(asset) = wrong else { return Ok(()) };
    Err(format!("asset {asset}: {} at the beginning, {} in the end", sum(&before, asset), sum(&after, asset)))
}

fn sums<'a>(accounts: impl Iterator<Item = &'a AccountModel>) -> Result<BTreeMap<AssetId, u128>, String> {
    let mut sums = BTreeMap::new();
    for (asset, amount) in accounts.flat_map(|account| &account.balances) {
        let sum: &mut u128 = sums.entry(*asset).or_default();
        *sum = sum.checked_add(*amount).ok_or_else(|| format!("asset {asset}: more than 128 bits"))?;
    }
    sums.retain(|_, sum| *sum > 0);
    Ok(sums)
}
