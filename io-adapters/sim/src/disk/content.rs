//! A file's bytes, sparse: what was never written takes no memory.

use super::ranges::Ranges;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What a disk writes as a whole or not at all.
pub const SECTOR_BYTES: u64 = 512;
/// What a file system allocates at once.
pub const PAGE_BYTES: u64 = 4096;

type Page = [u8; PAGE_BYTES as usize];

/// Bytes, length and space. Bytes behind the length are zero, so that extending shows zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    length: u64,
    /// By number. Shared with other states of the same file until one of them changes.
    pages: BTreeMap<u64, Arc<Page>>,
    /// Pages that take space, written or only reserved.
    taken: Ranges,
}

impl Content {
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of space that the file takes.
    pub(super) const fn space(&self) -> u64 {
        self.taken.count() * PAGE_BYTES
    }

    /// Bytes of space that must be taken before `bytes` can be written.
    pub(super) fn space_missing(&self, bytes: &Range<u64>) -> u64 {
        self.taken.missing(&pages_of(bytes)) * PAGE_BYTES
    }

    /// Takes the space for `bytes`.
    pub(super) fn take_space(&mut self, bytes: &Range<u64>) {
        self.taken.insert(&pages_of(bytes));
    }

    /// Reads up to the length.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..count) {
            self.copy(offset, buffer);
        }
        count
    }

    /// The sectors that `bytes` touches, whole, and where they begin.
    pub(super) fn sectors(&self, bytes: &Range<u64>) -> (u64, Vec<u8>) {
        let start = bytes.start - bytes.start % SECTOR_BYTES;
        let end = bytes.end.next_multiple_of(SECTOR_BYTES);
        let mut image = vec![0; (end - start) as usize];
        self.copy(start, &mut image);
        (start, image)
    }

    /// Puts bytes down without a look at the length.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        let mut position = offset;
        while !rest.is_empty() {
            let within = (position % PAGE_BYTES) as usize;
            let (part, behind) = rest.split_at(rest.len().min(PAGE_BYTES as usize - within));
            let number = position / PAGE_BYTES;
            if self.pages.contains_key(&number) || part.iter().any(|byte| *byte != 0) {
                let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
                if let Some(place) = Arc::make_mut(page).get_mut(within..within + part.len()) {
                    place.copy_from_slice(part);
                }
            }
            rest = behind;
            position += part.len() as u64;
        }
    }

    /// Makes the length at least so many bytes.
    pub(super) fn extend(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    /// Sets the length; what is behind it is gone, with its space.
    pub(super) fn set_length(&mut self, length: u64) {
        let first_gone = length.div_ceil(PAGE_BYTES);
        self.pages.split_off(&first_gone);
        self.taken.truncate(first_gone);
        let within = (length % PAGE_BYTES) as usize;
        if within > 0
            && let Some(last) = self.pages.get_mut(&(length / PAGE_BYTES))
            && let Some(behind) = Arc::make_mut(last).get_mut(within..)
        {
            behind.fill(0);
        }
        self.length = length;
    }

    /// Turns bits over.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        let mut byte = [0];
        self.copy(offset, &mut byte);
        self.put(offset, &byte.map(|byte| byte ^ mask));
    }

    /// Copies bytes out; zeros where nothing was put.
    fn copy(&self, offset: u64, out: &mut [u8]) {
        let mut rest = out;
        let mut position = offset;
        while !rest.is_empty() {
            let within = (position % PAGE_BYTES) as usize;
            let (part, behind) = rest.split_at_mut(rest.len().min(PAGE_BYTES as usize - within));
            let page = self.pages.get(&(position / PAGE_BYTES));
            match page.and_then(|page| page.get(within..within + part.len())) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
            position += part.len() as u64;
            rest = behind;
        }
    }
}

/// The pages that `bytes` touches.
const fn pages_of(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_a_vector(steps in proptest::collection::vec((0..20_000u64, 0..9000usize, 0..4u8), 0..30)) {
            let (mut content, mut model) = (Content::default(), Vec::<u8>::new());
            for (number, (offset, length, kind)) in (1..).zip(steps) {
                if kind == 0 {
                    content.set_length(offset);
                    model.resize(offset as usize, 0);
                } else {
                    let bytes = vec![number; length];
                    let end = offset as usize + length;
                    content.put(offset, &bytes);
                    content.extend(end as u64);
                    model.resize(model.len().max(end), 0);
                    model[offset as usize..end].copy_from_slice(&bytes);
                }
                prop_assert_eq!(content.length(), model.len() as u64);
                let mut read = vec![0xEE; model.len() + 5];
                prop_assert_eq!(content.read(0, &mut read), model.len());
                prop_assert!(read[..model.len()] == model);
                let (start, image) = content.sectors(&(offset..offset + length as u64));
                let expected = model.iter().copied().chain(std::iter::repeat(0)).skip(start as usize).take(image.len());
                prop_assert!(image.iter().copied().eq(expected));
            }
        }
    }

    #[test]
    fn space_is_counted_in_pages_and_zeros_take_no_memory() {
        let mut content = Content::default();
        content.take_space(&(0..64 << 20));
        content.extend(64 << 20);
        content.put(1 << 20, &[0; 100_000]);
        assert_eq!((content.space(), content.pages.len()), (64 << 20, 0));
        assert_eq!(content.space_missing(&((64 << 20) - 1..(64 << 20) + 1)), PAGE_BYTES);
        content.set_length(5000);
        assert_eq!(content.space(), 2 * PAGE_BYTES);
    }
}
