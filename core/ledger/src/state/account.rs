//! An account's record.

use crate::codec::{Reader, Writer as _};
use crate::{AssetId, CodeHash, CodecError, Nonce};

/// The most assets that one account holds: as many as there can be.
pub const MAX_BALANCES: usize = super::MAX_ASSETS;

/// What the ledger knows about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Transactions that it has had included.
    pub nonce: Nonce,
    /// The hash of its code, if it is a contract.
    pub code: Option<CodeHash>,
    /// By asset, without zeros.
    balances: Vec<(AssetId, u128)>,
}

impl Account {
    /// What it holds of an asset.
    pub fn balance(&self, asset: AssetId) -> u128 {
        match self.find(asset) {
            Ok(at) => self.balances.get(at).map_or(0, |(_, amount)| *amount),
            Err(_) => 0,
        }
    }

    /// All that it holds, by asset, without zeros.
    pub fn balances(&self) -> &[(AssetId, u128)] {
        &self.balances
    }

    /// Sets what it holds of an asset.
    pub fn set_balance(&mut self, asset: AssetId, amount: u128) {
        match (self.find(asset), amount) {
            (Ok(at), 0) => drop(self.balances.remove(at)),
            (Ok(at), amount) => {
                if let Some((_, balance)) = self.balances.get_mut(at) {
                    *balance = amount;
                }
            }
            (Err(_), 0) => {}
            (Err(at), amount) => self.balances.insert(at, (asset, amount)),
        }
    }

    /// Whether it is as if it had never been: such accounts are not stored.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 1 + 32 + 2 + self.balances.len() * 20);
        out.put_u64(self.nonce.0);
        out.put_u8(u8::from(self.code.is_some()));
        if let Some(code) = &self.code {
            out.put(&code.0);
        }
        out.put_count(self.balances.len());
        for (asset, amount) in &self.balances {
            out.put_u32(asset.0);
            out.put_u128(*amount);
        }
        out
    }

    /// Reads the canonical encoding: assets ascending, no zeros.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let nonce = Nonce(reader.u64("an account's nonce")?);
        let code = match reader.flag("an account's code")? {
            true => Some(reader.hash("an account's code")?),
            false => None,
        };
        let count = reader.count(MAX_BALANCES, "an account's number of balances")?;
        let mut balances: Vec<(AssetId, u128)> = Vec::with_capacity(count);
        for _ in 0..count {
            let asset = AssetId(reader.u32("a balance's asset")?);
            let amount = reader.u128("a balance")?;
            if amount == 0 || balances.last().is_some_and(|(last, _)| *last >= asset) {
                return Err(CodecError::NotCanonical { what: "an account's list of balances" });
            }
            balances.push((asset, amount));
        }
        reader.end("an account")?;
        Ok(Self { nonce, code, balances })
    }

    fn find(&self, asset: AssetId) -> Result<usize, usize> {
        self.balances.binary_search_by_key(&asset, |(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shroud_crypto::Hash;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(nonce: u64, code: Option<[u8; 32]>, balances in proptest::collection::vec((0..20u32, 0..4u128), 0..30)) {
            let mut account = Account { nonce: Nonce(nonce), code: code.map(Hash), ..Account::default() };
            let mut model = std::collections::BTreeMap::new();
            for (asset, amount) in balances {
                account.set_balance(AssetId(asset), amount);
                model.insert(asset, amount);
            }
            for asset in 0..20 {
                prop_assert_eq!(account.balance(AssetId(asset)), model.get(&asset).copied().unwrap_or(0));
            }
            prop_assert_eq!(Account::decode(&account.encode()), Ok(account));
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(account) = Account::decode(&bytes) {
                prop_assert_eq!(account.encode(), bytes);
            }
        }
    }
}
