//! Batches as entries of keyspaces, and their encoding.

use shroud_ledger::store::{TransactionPlace, WriteBatch};

/// What kind of thing a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Keyspace {
    /// The height, under the empty key.
    Meta = 0,
    State = 1,
    /// By height, big endian.
    Blocks = 2,
    /// Block hash to height.
    BlockHashes = 3,
    /// Transaction hash to place.
    Transactions = 4,
    /// By place.
    Receipts = 5,
}

const KEYSPACES: [Keyspace; 6] = [
    Keyspace::Meta,
    Keyspace::State,
    Keyspace::Blocks,
    Keyspace::BlockHashes,
    Keyspace::Transactions,
    Keyspace::Receipts,
];

/// In the place of a value's length: the key is removed.
const REMOVED: u32 = u32::MAX;
/// Bytes of an entry beside its key and value.
pub(crate) const ENTRY_BYTES: u64 = 9;

/// One entry of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) keyspace: Keyspace,
    pub(crate) key: &'a [u8],
    /// The value and where it begins in the payload; `None`: removed.
    pub(crate) value: Option<(&'a [u8], u64)>,
}

/// Appends an entry. Keys and values are far below 4 GiB: a frame is.
pub(crate) fn put(out: &mut Vec<u8>, keyspace: Keyspace, key: &[u8], value: Option<&[u8]>) {
    out.push(keyspace as u8);
    out.extend((key.len() as u32).to_le_bytes());
    out.extend(value.map_or(REMOVED, |value| value.len() as u32).to_le_bytes());
    out.extend(key);
    out.extend(value.unwrap_or_default());
}

/// All entries of a batch, in order.
pub(crate) fn encode(batch: &WriteBatch) -> Vec<u8> {
    let mut out = Vec::new();
    for change in batch.changes() {
        put(&mut out, Keyspace::State, &change.key, change.value.as_deref());
    }
    for applied in &batch.blocks {
        let height = applied.block.header.height;
        let height_bytes = height.0.to_be_bytes();
        put(&mut out, Keyspace::Blocks, &height_bytes, Some(&applied.block.encode()));
        put(&mut out, Keyspace::BlockHashes, &applied.hash.0, Some(&height_bytes));
        for (receipt, index) in applied.receipts.iter().zip(0..) {
            let place = place_bytes(TransactionPlace { height, index });
            put(&mut out, Keyspace::Transactions, &receipt.transaction.0, Some(&place));
            put(&mut out, Keyspace::Receipts, &place, Some(&receipt.encode()));
        }
    }
    put(&mut out, Keyspace::Meta, &[], Some(&batch.height.0.to_be_bytes()));
    out
}

/// Reads all entries of a payload; `None`: it is not one, and nothing may be made of it.
pub(crate) fn decode(payload: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    let mut rest = payload;
    while let Some((tag, behind)) = rest.split_first() {
        let keyspace = *KEYSPACES.get(usize::from(*tag))?;
        let (key_length, behind) = behind.split_first_chunk::<4>()?;
        let (value_length, behind) = behind.split_first_chunk::<4>()?;
        let (key, behind) = behind.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
        let start = (payload.len() - behind.len()) as u64;
        let value_length = u32::from_le_bytes(*value_length);
        let (value, behind) = if value_length == REMOVED {
            (None, behind)
        } else {
            let (value, behind) = behind.split_at_checked(value_length as usize)?;
            (Some((value, start)), behind)
        };
        entries.push(Entry { keyspace, key, value });
        rest = behind;
    }
    Some(entries)
}

pub(crate) fn place_bytes(place: TransactionPlace) -> [u8; 12] {
    let mut bytes = [0; 12];
    let parts = place.height.0.to_be_bytes().into_iter().chain(place.index.to_be_bytes());
    bytes.iter_mut().zip(parts).for_each(|(out, byte)| *out = byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(list in proptest::collection::vec((0..6usize, any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..20)) {
            let mut out = Vec::new();
            for (keyspace, key, value) in &list {
                put(&mut out, KEYSPACES[*keyspace], key, value.as_deref());
            }
            let entries = decode(&out).unwrap();
            prop_assert_eq!(entries.len(), list.len());
            for (entry, (keyspace, key, value)) in entries.iter().zip(&list) {
                prop_assert_eq!((entry.keyspace, entry.key), (KEYSPACES[*keyspace], key.as_slice()));
                prop_assert_eq!(entry.value.map(|(value, _)| value), value.as_deref());
                if let Some((value, at)) = entry.value {
                    prop_assert_eq!(&out[at as usize..at as usize + value.len()], value);
                }
            }
            prop_assert!(out.is_empty() || decode(&out[..out.len() - 1]).is_none_or(|cut| cut.len() < list.len()));
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
