//! What the state tree's keys and values mean: accounts, contract storage, code, assets, the chain's parameters.
//!
//! [`StateKey`] and the records have one canonical encoding each; [`Overlay`] holds changes over a tree until they are taken.

mod account;
mod asset;
mod key;
mod overlay;
mod parameters;

pub use account::{Account, MAX_BALANCES};
pub use asset::{Asset, MAX_ASSETS, MAX_NAME_BYTES, MAX_SYMBOL_BYTES};
pub use key::{MAX_STORAGE_KEY_BYTES, StateKey};
pub use overlay::{Change, Checkpoint, MoveError, Overlay};
pub use parameters::ChainParameters;

use shroud_crypto::{Address, Hash};

use crate::{AssetId, CodecError, StateTree};

/// The state holds something that this program never writes: it was damaged, or written by another program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A key that means nothing.
    #[error("the state has a key that is not valid: {0}")]
    Key(CodecError),
    /// A value that does not fit its key.
    #[error("the state's value of {key:?} is not valid: {error}")]
    Value {
        /// The key.
        key: StateKey,
        /// What is wrong with the value.
        error: CodecError,
    },
    /// Something that must be there is not.
    #[error("the state has no {0:?}")]
    Missing(StateKey),
}

/// Checks one stored entry: that the key means something and that the value fits it.
pub fn check_entry(key: &[u8], value: &[u8]) -> Result<(), StateError> {
    let key = StateKey::decode(key).map_err(StateError::Key)?;
    let fits = match key {
        StateKey::Account(_) => Account::decode(value).map(drop),
        StateKey::Asset(_) => Asset::decode(value).map(drop),
        StateKey::Parameters => ChainParameters::decode(value).map(drop),
        StateKey::Storage(..) => Ok(()),
        StateKey::Code(hash) if shroud_crypto::keccak256(value) == hash => Ok(()),
        StateKey::Code(_) => Err(CodecError::NotCanonical { what: "a code under its hash" }),
    };
    fits.map_err(|error| StateError::Value { key, error })
}

/// An account of a tree: the default one if it is not there.
pub fn account(tree: &StateTree, address: Address) -> Result<Account, StateError> {
    match tree.get(&StateKey::encode_account(&address)) {
        Some(value) => Account::decode(value)
            .map_err(|error| StateError::Value { key: StateKey::Account(address), error }),
        None => Ok(Account::default()),
    }
}

/// A contract's code, by its hash.
pub fn code(tree: &StateTree, hash: Hash) -> Option<&[u8]> {
    tree.get(&StateKey::Code(hash).encode())
}

/// An asset's record.
pub fn asset(tree: &StateTree, id: AssetId) -> Result<Option<Asset>, StateError> {
    let key = StateKey::Asset(id);
    let decode = |value| Asset::decode(value).map_err(|error| StateError::Value { key: key.clone(), error });
    tree.get(&key.encode()).map(decode).transpose()
}

/// The parameters of the chain whose state this is.
pub fn parameters(tree: &StateTree) -> Result<ChainParameters, StateError> {
    let key = StateKey::Parameters;
    let value = tree.get(&key.encode()).ok_or_else(|| StateError::Missing(key.clone()))?;
    ChainParameters::decode(value).map_err(|error| StateError::Value { key, error })
}
