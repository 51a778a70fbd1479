//! Places for things that events refer to.

use slab::Slab;

/// Where a thing is kept. A key outlives its thing and then leads nowhere, also when its place was taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    index: usize,
    serial: u64,
}

impl Key {
    /// Tells it apart from all others of its arena, in order of making.
    pub(crate) const fn number(self) -> u64 {
        self.serial
    }
}

/// Things of one type, each found by its [`Key`] until it is removed.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Slab<(u64, T)>,
    next: u64,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Slab::new(), next: 0 }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let serial = self.next;
        self.next += 1;
        Key { index: self.slots.insert((serial, value)), serial }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.index).filter(|(serial, _)| *serial == key.serial).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.index).filter(|(serial, _)| *serial == key.serial).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.slots.try_remove(key.index).map(|(_, value)| value)
    }

    /// The keys of those that `wanted` picks, in order of making.
    pub(crate) fn keys(&self, mut wanted: impl FnMut(&T) -> bool) -> Vec<Key> {
        let found = self.slots.iter().filter(|(_, (_, value))| wanted(value));
        let mut keys: Vec<_> = found.map(|(index, (serial, _))| Key { index, serial: *serial }).collect();
        keys.sort_unstable_by_key(|key| key.serial);
        keys
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }
}
