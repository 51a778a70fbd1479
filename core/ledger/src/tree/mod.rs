//! The state tree: a persistent 16-ary Merkle radix tree in memory.
//!
//! Keys are hashed with BLAKE3 to a path of 64 nibbles. A subtree without keys is empty, with one key it is a leaf, with
//! more it is a branch: the shape, and so the root, depends only on the set of keys and values. Nodes are shared between clones
//! (a clone is a snapshot, at the cost of one reference count); a change copies only the shared nodes on its way. Node
//! hashes are cached, and recomputed when the root is asked for.

mod iter;
mod node;
mod proof;

pub use iter::Iter;
pub use proof::{Proof, ProofError, verify_proof};

use node::{Branch, Child, Leaf, Path};
use shroud_crypto::Hash;

/// The root of the tree without keys.
pub const EMPTY_ROOT: Hash = Hash::ZERO;

/// A map from byte strings to byte strings with a commitment to all of it.
#[derive(Clone, Debug, Default)]
pub struct StateTree {
    top: Child,
    len: usize,
}

impl StateTree {
    /// A tree without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no keys.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let path = Path::of(key);
        let mut child = &self.top;
        let mut depth = 0;
        loop {
            match child {
                Child::Empty => return None,
                Child::Leaf(leaf) => return (leaf.path() == &path).then(|| leaf.value()),
                Child::Branch(branch) => {
                    child = branch.child(path.nibble(depth));
                    depth += 1;
                }
            }
        }
    }

    /// Sets the value of a key. Says whether the key is new.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        let path = Path::of(key);
        let new = insert(&mut self.top, 0, &path, key, value);
        self.len += usize::from(new);
        new
    }

    /// Removes a key. Says whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let path = Path::of(key);
        // Looked up first, so that removing what is not there copies nothing.
        if self.get(key).is_none() {
            return false;
        }
        remove(&mut self.top, 0, &path);
        self.len -= 1;
        true
    }

    /// The commitment to all keys and values. Costs one hash for each node changed since it was last computed.
    pub fn root(&self) -> Hash {
        self.top.hash()
    }

    /// All entries, in the order of their keys' hashes.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.top)
    }

    /// Proves the value of a key, or its absence, against [`root`](Self::root).
    pub fn prove(&self, key: &[u8]) -> Proof {
        proof::prove(&self.top, &Path::of(key))
    }
}

impl<'a> IntoIterator for &'a StateTree {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Depth is at most 64: two different paths part before their nibbles end, and equal paths mean equal keys (BLAKE3).
fn insert(child: &mut Child, depth: usize, path: &Path, key: &[u8], value: &[u8]) -> bool {
    match child {
        Child::Empty => {
            *child = Child::leaf(Leaf::new(*path, key, value));
            true
        }
        Child::Leaf(leaf) if leaf.path() == path => {
            if leaf.value() != value {
                Leaf::set_value(leaf, value);
            }
            false
        }
        Child::Leaf(leaf) => {
            let mut branch = Branch::default();
            let slot = leaf.path().nibble(depth);
            *branch.child_mut(slot) = Child::Leaf(leaf.clone());
            let new = insert(branch.child_mut(path.nibble(depth)), depth + 1, path, key, value);
            *child = Child::branch(branch);
            new
        }
        Child::Branch(branch) => {
            insert(Branch::own(branch).child_mut(path.nibble(depth)), depth + 1, path, key, value)
        }
    }
}

/// The key is known to be there.
fn remove(child: &mut Child, depth: usize, path: &Path) {
    match child {
        Child::Empty => {}
        Child::Leaf(_) => *child = Child::Empty,
        Child::Branch(branch) => {
            let branch = Branch::own(branch);
            remove(branch.child_mut(path.nibble(depth)), depth + 1, path);
            if let Some(last) = branch.take_lone_leaf() {
                *child = last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn tree_of(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> StateTree {
        let mut tree = StateTree::new();
        map.iter().for_each(|(key, value)| {
            tree.insert(key, value);
        });
        tree
    }

    fn operations() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
        proptest::collection::vec((0..40u8, proptest::option::of(any::<u8>())), 0..120)
    }

    proptest! {
        #[test]
        fn equals_a_map_and_its_root_depends_on_the_set_only(operations in operations()) {
            let mut model = BTreeMap::new();
            let mut tree = StateTree::new();
            let mut snapshots = Vec::new();
            for (key, value) in operations {
                let key = vec![key];
                match value {
                    Some(value) => {
                        let new = model.insert(key.clone(), vec![value]).is_none();
                        prop_assert_eq!(tree.insert(&key, &[value]), new);
                    }
                    None => prop_assert_eq!(tree.remove(&key), model.remove(&key).is_some()),
                }
                prop_assert_eq!(tree.len(), model.len());
                if key[0] % 8 == 0 {
                    snapshots.push((tree.clone(), model.clone(), tree.root()));
                }
            }
            snapshots.push((tree.clone(), model, tree.root()));
            for (tree, model, root) in snapshots {
                prop_assert_eq!(tree.root(), root);
                prop_assert_eq!(tree_of(&model).root(), root);
                let entries: BTreeMap<_, _> = tree.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                prop_assert_eq!(&entries, &model);
                for key in 0..40u8 {
                    prop_assert_eq!(tree.get(&[key]), model.get(&vec![key]).map(Vec::as_slice));
                }
            }
        }

        #[test]
        fn different_sets_have_different_roots(count in 1..60u8, changed in 0..60u8) {
            let map: BTreeMap<_, _> = (0..count).map(|key| (vec![key], vec![1])).collect();
            let mut other = map.clone();
            other.insert(vec![changed], vec![2]);
            prop_assert_ne!(tree_of(&map).root(), tree_of(&other).root());
        }
    }

    #[test]
    fn empty_tree() {
        let mut tree = StateTree::new();
        assert_eq!(tree.root(), EMPTY_ROOT);
        assert!(!tree.remove(b"nothing"));
        tree.insert(b"a", b"1");
        assert!(tree.remove(b"a"));
        assert_eq!((tree.root(), tree.len(), tree.iter().count()), (EMPTY_ROOT, 0, 0));
    }
}
