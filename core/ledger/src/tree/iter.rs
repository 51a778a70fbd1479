//! Walking over all entries.

use super::node::Child;

/// All entries of a tree, in the order of their keys' hashes.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// Subtrees still to visit, the next one last: at most 15 for each of 64 levels.
    stack: Vec<&'a Child>,
}

impl<'a> Iter<'a> {
    pub(super) fn new(top: &'a Child) -> Self {
        Self { stack: vec![top] }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.stack.pop()? {
                Child::Empty => {}
                Child::Leaf(leaf) => return Some((leaf.key(), leaf.value())),
                Child::Branch(branch) => self.stack.extend(branch.children().iter().rev()),
            }
        }
    }
}
