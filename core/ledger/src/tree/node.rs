//! Leaves, branches, and how they are hashed.

use std::sync::{Arc, OnceLock};

use shroud_crypto::Hash;

/// What a leaf's hash begins with.
const LEAF_TAG: u8 = 0;
/// What a branch's hash begins with, so that no branch can pass for a leaf.
const BRANCH_TAG: u8 = 1;

/// A key's BLAKE3 hash, read as 64 nibbles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path(pub(super) [u8; 32]);

impl Path {
    pub(super) fn of(key: &[u8]) -> Self {
        Self(*blake3::hash(key).as_bytes())
    }

    /// The nibble that chooses the child of a branch at `depth`. Beyond the end it is 0, where no branch is.
    pub(super) fn nibble(&self, depth: usize) -> usize {
        let byte = self.0.get(depth / 2).copied().unwrap_or(0);
        usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
    }
}

/// A subtree.
#[derive(Clone, Debug, Default)]
pub(super) enum Child {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
}

impl Child {
    pub(super) fn leaf(leaf: Leaf) -> Self {
        Self::Leaf(Arc::new(leaf))
    }

    pub(super) fn branch(branch: Branch) -> Self {
        Self::Branch(Arc::new(branch))
    }

    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Empty => super::EMPTY_ROOT,
            Self::Leaf(leaf) => leaf.hash(),
            Self::Branch(branch) => branch.hash(),
        }
    }
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    path: Path,
    key: Box<[u8]>,
    value: Box<[u8]>,
    hash: OnceLock<Hash>,
}

impl Leaf {
    pub(super) fn new(path: Path, key: &[u8], value: &[u8]) -> Self {
        Self { path, key: key.into(), value: value.into(), hash: OnceLock::new() }
    }

    pub(super) const fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) const fn value(&self) -> &[u8] {
        &self.value
    }

    /// Changes the value in place if no snapshot shares the leaf, else in a copy.
    pub(super) fn set_value(leaf: &mut Arc<Self>, value: &[u8]) {
        match Arc::get_mut(leaf) {
            Some(own) => {
                match own.value.len() == value.len() {
                    true => own.value.copy_from_slice(value),
                    false => own.value = value.into(),
                }
                own.hash = OnceLock::new();
            }
            None => *leaf = Arc::new(Self::new(leaf.path, &leaf.key, value)),
        }
    }

    pub(super) fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| leaf_hash(&self.path, blake3::hash(&self.value).as_bytes()))
    }
}

/// At least two keys, parted by their nibble at this depth (or below it, if they all share that nibble).
#[derive(Clone, Debug, Default)]
pub(super) struct Branch {
    children: [Child; 16],
    hash: OnceLock<Hash>,
}

impl Branch {
    /// The branch to change: itself if no snapshot shares it, else a copy. Its hash is forgotten.
    pub(super) fn own(branch: &mut Arc<Self>) -> &mut Self {
        let own = Arc::make_mut(branch);
        own.hash = OnceLock::new();
        own
    }

    pub(super) fn child(&self, nibble: usize) -> &Child {
        self.children.get(nibble).unwrap_or(&Child::Empty)
    }

    #[allow(clippy::indexing_slicing, reason = "a nibble is masked to 16 values")]
    pub(super) fn child_mut(&mut self, nibble: usize) -> &mut Child {
        &mut self.children[nibble & 0x0f]
    }

    pub(super) const fn children(&self) -> &[Child; 16] {
        &self.children
    }

    /// Takes the leaf out, if it is all that is left.
    pub(super) fn take_lone_leaf(&mut self) -> Option<Child> {
        let mut present = self.children.iter_mut().filter(|child| !matches!(child, Child::Empty));
        match (present.next(), present.next()) {
            (Some(lone @ Child::Leaf(_)), None) => Some(std::mem::take(lone)),
            _ => None,
        }
    }

    pub(super) fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| {
            let hashes = self.children.iter().map(|child| match child {
                Child::Empty => None,
                present => Some(present.hash()),
            });
            branch_hash(hashes)
        })
    }
}

/// The hash of a leaf: its path and its value's hash.
pub(super) fn leaf_hash(path: &Path, value_hash: &[u8; 32]) -> Hash {
    let mut bytes = [LEAF_TAG; 65];
    let parts = path.0.iter().chain(value_hash);
    bytes.iter_mut().skip(1).zip(parts).for_each(|(out, byte)| *out = *byte);
    shroud_crypto::blake3(&bytes)
}

/// The hash of a branch: which of its 16 children are there, and their hashes.
pub(super) fn branch_hash(children: impl Iterator<Item = Option<Hash>>) -> Hash {
    let mut bytes = Vec::with_capacity(3 + 16 * 32);
    bytes.extend_from_slice(&[BRANCH_TAG, 0, 0]);
    let mut bitmap = 0u16;
    for (nibble, child) in children.enumerate() {
        if let Some(hash) = child {
            bitmap |= 1 << nibble;
            bytes.extend_from_slice(hash.as_bytes());
        }
    }
    let [low, high] = bitmap.to_le_bytes();
    if let [_, first, second, ..] = bytes.as_mut_slice() {
        (*first, *second) = (low, high);
    }
    shroud_crypto::blake3(&bytes)
}
