//! Changes over a state tree, with checkpoints.

use std::collections::BTreeMap;

use shroud_crypto::{Address, Hash};

use super::{Account, Asset, StateError, StateKey, account, asset};
use crate::{AssetId, Nonce, StateTree};

/// A state tree and changes to it that are not yet in the tree.
///
/// Each change can be undone back to a [`Checkpoint`]; checkpoints nest. Creating one over a snapshot costs nothing, so view calls
/// use it too, and drop it afterwards.
#[derive(Clone, Debug)]
pub struct Overlay {
    base: StateTree,
    accounts: BTreeMap<Address, Account>,
    /// All else, by encoded key; `None` is removed.
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    undo: Vec<Undo>,
}

/// How things stood before a change; `None`: the overlay had nothing to say about it.
#[derive(Clone, Debug)]
enum Undo {
    Account(Address, Option<Account>),
    Entry(Vec<u8>, Option<Option<Vec<u8>>>),
}

/// A moment to which an overlay can be rolled back.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Checkpoint(usize);

/// One entry of a write set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The encoded [`StateKey`].
    pub key: Vec<u8>,
    /// The new value; `None`: removed.
    pub value: Option<Vec<u8>>,
}

/// Why an amount cannot be moved. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The payer has less.
    #[error("the balance is {balance}, below {amount}")]
    Insufficient {
        /// What the payer has.
        balance: u128,
        /// What is to be moved.
        amount: u128,
    },
    /// The receiver would have more than 128 bits hold.
    #[error("the receiver's balance would exceed 128 bits")]
    Overflow,
    /// The state is damaged.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Overlay {
    /// No changes over `base`.
    pub const fn new(base: StateTree) -> Self {
        Self { base, accounts: BTreeMap::new(), entries: BTreeMap::new(), undo: Vec::new() }
    }

    /// An account as it stands: the default one if it is not there.
    pub fn account(&self, address: Address) -> Result<Account, StateError> {
        match self.accounts.get(&address) {
            Some(changed) => Ok(changed.clone()),
            None => account(&self.base, address),
        }
    }

    /// Replaces an account.
    pub fn set_account(&mut self, address: Address, account: Account) {
        let before = self.accounts.insert(address, account);
        self.undo.push(Undo::Account(address, before));
    }

    /// What an account holds.
    pub fn balance(&self, address: Address, asset: AssetId) -> Result<u128, StateError> {
        match self.accounts.get(&address) {
            Some(changed) => Ok(changed.balance(asset)),
            None => Ok(account(&self.base, address)?.balance(asset)),
        }
    }

    /// Takes from an account.
    pub fn debit(&mut self, address: Address, asset: AssetId, amount: u128) -> Result<(), MoveError> {
        let mut account = self.account(address)?;
        let balance = account.balance(asset);
        let left = balance.checked_sub(amount).ok_or(MoveError::Insufficient { balance, amount })?;
        if amount != 0 {
            account.set_balance(asset, left);
            self.set_account(address, account);
        }
        Ok(())
    }

    /// Gives to an account.
    pub fn credit(&mut self, address: Address, asset: AssetId, amount: u128) -> Result<(), MoveError> {
        let mut account = self.account(address)?;
        let sum = account.balance(asset).checked_add(amount).ok_or(MoveError::Overflow)?;
        if amount != 0 {
            account.set_balance(asset, sum);
            self.set_account(address, account);
        }
        Ok(())
    }

    /// Moves between accounts, or changes nothing.
    pub fn transfer(
        &mut self,
        from: Address,
        to: Address,
        asset: AssetId,
        amount: u128,
    ) -> Result<(), MoveError> {
        let checkpoint = self.checkpoint();
        let moved = self.debit(from, asset, amount).and_then(|()| self.credit(to, asset, amount));
        if moved.is_err() {
            self.roll_back(checkpoint);
        }
        moved
    }

    /// Sets an account's nonce.
    pub fn set_nonce(&mut self, address: Address, nonce: Nonce) -> Result<(), StateError> {
        let mut account = self.account(address)?;
        account.nonce = nonce;
        self.set_account(address, account);
        Ok(())
    }

    /// An entry of a contract's storage.
    pub fn storage(&self, contract: Address, key: &[u8]) -> Option<&[u8]> {
        self.entry(&StateKey::encode_storage(&contract, key))
    }

    /// Sets (`Some`) or removes (`None`) an entry of a contract's storage. Says whether there was one before.
    pub fn set_storage(&mut self, contract: Address, key: &[u8], value: Option<Vec<u8>>) -> bool {
        let key = StateKey::encode_storage(&contract, key);
        let existed = self.entry(&key).is_some();
        self.set_entry(key, value);
        existed
    }

    /// A contract's code.
    pub fn code(&self, hash: Hash) -> Option<&[u8]> {
        self.entry(&StateKey::Code(hash).encode())
    }

    /// Keeps a contract's code under its hash.
    pub fn set_code(&mut self, hash: Hash, code: Vec<u8>) {
        debug_assert_eq!(shroud_crypto::keccak256(&code), hash);
        let key = StateKey::Code(hash).encode();
        if self.entry(&key).is_none() {
            self.set_entry(key, Some(code));
        }
    }

    /// An asset's record. Assets do not change after genesis, so the tree below is asked.
    pub fn asset(&self, id: AssetId) -> Result<Option<Asset>, StateError> {
        asset(&self.base, id)
    }

    /// A moment to come back to.
    pub const fn checkpoint(&self) -> Checkpoint {
        Checkpoint(self.undo.len())
    }

    /// Undoes all changes since `checkpoint`. Checkpoints taken after it lose their meaning.
    pub fn roll_back(&mut self, checkpoint: Checkpoint) {
        while self.undo.len() > checkpoint.0 {
            match self.undo.pop() {
                Some(Undo::Account(address, Some(before))) => drop(self.accounts.insert(address, before)),
                Some(Undo::Account(address, None)) => drop(self.accounts.remove(&address)),
                Some(Undo::Entry(key, Some(before))) => drop(self.entries.insert(key, before)),
                Some(Undo::Entry(key, None)) => drop(self.entries.remove(&key)),
                None => return,
            }
        }
    }

    /// Makes all changes so far final: no checkpoint before now can be rolled back to.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// The write set, by encoded key.
    pub fn changes(&self) -> Vec<Change> {
        let accounts = self.accounts.iter().map(|(address, account)| Change {
            key: StateKey::encode_account(address).to_vec(),
            value: (!account.is_default()).then(|| account.encode()),
        });
        let entries =
            self.entries.iter().map(|(key, value)| Change { key: key.clone(), value: value.clone() });
        // Accounts have the lowest tag of all keys that an overlay changes, so this is in order.
        let changes: Vec<_> = accounts.chain(entries).collect();
        debug_assert!(changes.is_sorted_by(|left, right| left.key < right.key));
        changes
    }

    /// The tree below, without the changes.
    pub const fn base(&self) -> &StateTree {
        &self.base
    }

    fn entry(&self, key: &[u8]) -> Option<&[u8]> {
        match self.entries.get(key) {
            Some(changed) => changed.as_deref(),
            None => self.base.get(key),
        }
    }

    fn set_entry(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.entries.insert(key.clone(), value);
        self.undo.push(Undo::Entry(key, before));
    }
}

impl StateTree {
    /// Puts a write set into the tree.
    pub fn write(&mut self, changes: &[Change]) {
        for Change { key, value } in changes {
            match value {
                Some(value) => drop(self.insert(key, value)),
                None => drop(self.remove(key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASSET: AssetId = AssetId(0);

    fn address(number: u8) -> Address {
        Address([number; 20])
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Credit(u8, u128),
        Transfer(u8, u8, u128),
        Store(u8, u8, Option<u8>),
        Nested(Vec<Operation>, bool),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let leaf = prop_oneof![
            (0..4u8, 0..100u128).prop_map(|(to, amount)| Operation::Credit(to, amount)),
            (0..4u8, 0..4u8, 0..100u128).prop_map(|(from, to, amount)| Operation::Transfer(from, to, amount)),
            (0..2u8, 0..4u8, any::<Option<u8>>())
                .prop_map(|(of, key, value)| Operation::Store(of, key, value)),
        ];
        leaf.prop_recursive(3, 30, 8, |inner| {
            (proptest::collection::vec(inner, 0..8), any::<bool>())
                .prop_map(|(operations, keep)| Operation::Nested(operations, keep))
        })
    }

    fn run(overlay: &mut Overlay, operations: &[Operation]) {
        for operation in operations {
            match operation {
                Operation::Credit(to, amount) => overlay.credit(address(*to), ASSET, *amount).unwrap(),
                Operation::Transfer(from, to, amount) => {
                    let _ = overlay.transfer(address(*from), address(*to), ASSET, *amount);
                }
                Operation::Store(of, key, value) => {
                    overlay.set_storage(address(*of), &[*key], value.map(|byte| vec![byte]));
                }
                Operation::Nested(operations, keep) => {
                    let checkpoint = overlay.checkpoint();
                    run(overlay, operations);
                    if !keep {
                        overlay.roll_back(checkpoint);
                    }
                }
            }
        }
    }

    /// The same operations without those that were rolled back.
    fn kept(operations: &[Operation]) -> Vec<Operation> {
        let keep = |operation: &Operation| match operation {
            Operation::Nested(_, false) => vec![],
            Operation::Nested(operations, true) => kept(operations),
            other => vec![other.clone()],
        };
        operations.iter().flat_map(keep).collect()
    }

    proptest! {
        #[test]
        fn rolled_back_changes_leave_no_trace(before in proptest::collection::vec(operation(), 0..8),
                                              after in proptest::collection::vec(operation(), 0..8)) {
            let mut base = StateTree::new();
            let mut overlay = Overlay::new(base.clone());
            run(&mut overlay, &before);
            base.write(&overlay.changes());
            let (mut left, mut right) = (Overlay::new(base.clone()), Overlay::new(base.clone()));
            run(&mut left, &after);
            run(&mut right, &kept(&after));
            prop_assert_eq!(left.changes(), right.changes());
            let mut tree = base.clone();
            tree.write(&left.changes());
            for number in 0..4 {
                prop_assert_eq!(account(&tree, address(number)), left.account(address(number)));
            }
            for (key, value) in &tree {
                prop_assert_eq!(super::super::check_entry(key, value), Ok(()));
            }
        }
    }
}
