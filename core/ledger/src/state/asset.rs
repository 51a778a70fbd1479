//! An asset's record.

use crate::codec::{Reader, Writer as _};
use crate::{AssetId, CodecError};

/// The most assets of a chain: each account may hold all of them in one record.
pub const MAX_ASSETS: usize = 256;
/// Bytes of a symbol: capital letters and digits.
pub const MAX_SYMBOL_BYTES: usize = 12;
/// Bytes of a name.
pub const MAX_NAME_BYTES: usize = 64;

/// Something that accounts can hold an amount of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its number.
    pub id: AssetId,
    /// Its short name, unique.
    pub symbol: String,
    /// How many decimals of a whole unit one base unit is.
    pub decimals: u8,
    /// Its long name.
    pub name: String,
    /// All that was ever issued, in base units: what the issuance account owes, the counterpart of all balances.
    pub supply: u128,
}

impl Asset {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + 4 + self.symbol.len() + 1 + 4 + self.name.len() + 16);
        out.put_u32(self.id.0);
        out.put_bytes(self.symbol.as_bytes());
        out.put_u8(self.decimals);
        out.put_bytes(self.name.as_bytes());
        out.put_u128(self.supply);
        out
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let asset = Self {
            id: AssetId(reader.u32("an asset's number")?),
            symbol: reader.text(MAX_SYMBOL_BYTES, "an asset's symbol")?,
            decimals: reader.u8("an asset's decimals")?,
            name: reader.text(MAX_NAME_BYTES, "an asset's name")?,
            supply: reader.u128("an asset's supply")?,
        };
        reader.end("an asset")?;
        Ok(asset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(id: u32, symbol in "[A-Z0-9]{1,12}", decimals: u8, name in ".{0,16}", supply: u128) {
            let asset = Asset { id: AssetId(id), symbol, decimals, name, supply };
            prop_assert_eq!(Asset::decode(&asset.encode()), Ok(asset));
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(asset) = Asset::decode(&bytes) {
                prop_assert_eq!(asset.encode(), bytes);
            }
        }
    }
}
