//! Proofs that a key has a value, or that it has none.

use shroud_crypto::Hash;

use super::node::{Child, Path, branch_hash, leaf_hash};

/// The most levels that a proof can have: the nibbles of a path.
const MAX_LEVELS: usize = 64;

/// The way from the root to where a key is or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The other children of each branch on the way, the root's first.
    pub levels: Vec<Level>,
    /// What stands at the end of the way.
    pub end: End,
}

/// One branch on the way: its children other than the one that the way takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Nibble and hash of each, by nibble.
    pub siblings: Vec<(u8, Hash)>,
}

/// What stands at the end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Empty,
    /// A leaf: of the key, or of another key that shares the way so far.
    Leaf {
        /// BLAKE3 of the leaf's key.
        path: Hash,
        /// BLAKE3 of the leaf's value.
        value: Hash,
    },
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It proves another value, or its presence instead of its absence, or the reverse.
    #[error("the proof shows another value for the key")]
    OtherValue,
    /// Its hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    OtherRoot,
    /// No tree has this shape.
    #[error("the proof is malformed")]
    Malformed,
}

pub(super) fn prove(top: &Child, path: &Path) -> Proof {
    let mut levels = Vec::new();
    let mut child = top;
    loop {
        match child {
            Child::Empty => return Proof { levels, end: End::Empty },
            Child::Leaf(leaf) => {
                let end = End::Leaf { path: Hash(leaf.path().0), value: shroud_crypto::blake3(leaf.value()) };
                return Proof { levels, end };
            }
            Child::Branch(branch) => {
                let taken = path.nibble(levels.len());
                let siblings = (0u8..).zip(branch.children()).filter_map(|(nibble, child)| match child {
                    Child::Empty => None,
                    _ if usize::from(nibble) == taken => None,
                    present => Some((nibble, present.hash())),
                });
                levels.push(Level { siblings: siblings.collect() });
                child = branch.child(taken);
            }
        }
    }
}

/// Checks that in the tree with `root`, `key` has `value` (`None`: is absent).
pub fn verify_proof(root: &Hash, key: &[u8], value: Option<&[u8]>, proof: &Proof) -> Result<(), ProofError> {
    let path = Path::of(key);
    if proof.levels.len() > MAX_LEVELS {
        return Err(ProofError::Malformed);
    }
    let mut hash = match (proof.end, value) {
        (End::Leaf { path: stated, value: stated_value }, Some(value)) => {
            if stated.0 != path.0 || stated_value != shroud_crypto::blake3(value) {
                return Err(ProofError::OtherValue);
            }
            Some(leaf_hash(&path, &stated_value.0))
        }
        (End::Empty, None) => None,
        (End::Leaf { path: other, value }, None) => {
            let other = Path(other.0);
            if other == path {
                return Err(ProofError::OtherValue);
            }
            if (0..proof.levels.len()).any(|depth| other.nibble(depth) != path.nibble(depth)) {
                return Err(ProofError::Malformed);
            }
            Some(leaf_hash(&other, &value.0))
        }
        (End::Empty, Some(_)) => return Err(ProofError::OtherValue),
    };
    for (depth, level) in proof.levels.iter().enumerate().rev() {
        let taken = path.nibble(depth);
        let mut children = [None; 16];
        for (nibble, sibling) in &level.siblings {
            match children.get_mut(usize::from(*nibble)) {
                Some(slot @ None) if usize::from(*nibble) != taken => *slot = Some(*sibling),
                _ => return Err(ProofError::Malformed),
            }
        }
        if let Some(slot) = children.get_mut(taken) {
            *slot = hash;
        }
        hash = Some(branch_hash(children.into_iter()));
    }
    if hash.unwrap_or(super::EMPTY_ROOT) == *root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::StateTree;
    use super::*;

    fn tree(count: u16) -> StateTree {
        let mut tree = StateTree::new();
        (0..count).for_each(|key| {
            tree.insert(&key.to_le_bytes(), &[key as u8; 3]);
        });
        tree
    }

    proptest! {
        #[test]
        fn proves_presence_and_absence(count in 0..200u16, key in 0..300u16) {
            let tree = tree(count);
            let (root, key) = (tree.root(), key.to_le_bytes());
            let proof = tree.prove(&key);
            let value = tree.get(&key);
            prop_assert_eq!(verify_proof(&root, &key, value, &proof), Ok(()));
            prop_assert!(verify_proof(&root, &key, Some(b"other"), &proof).is_err());
            if value.is_some() {
                prop_assert_eq!(verify_proof(&root, &key, None, &proof), Err(ProofError::OtherValue));
            }
            prop_assert!(verify_proof(&shroud_crypto::blake3(b"?"), &key, value, &proof).is_err());
        }

        #[test]
        fn altered_proofs_do_not_hold(key in 0..150u16, level: usize, sibling: usize, byte in 0..32usize, drop: bool) {
            let tree = tree(100);
            let key = key.to_le_bytes();
            let mut proof = tree.prove(&key);
            let at = level % proof.levels.len();
            let siblings = &mut proof.levels[at].siblings;
            prop_assume!(!siblings.is_empty());
            let at = sibling % siblings.len();
            if drop { siblings.remove(at); } else { siblings[at].1.0[byte] ^= 1; }
            prop_assert!(verify_proof(&tree.root(), &key, tree.get(&key), &proof).is_err());
        }
    }
}
