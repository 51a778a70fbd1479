//! One file: what a reader sees, what is durable, and the changes in between.

use super::content::{Content, SECTOR_BYTES};
use super::crash::Survival;
use crate::chance::Chance;
use std::ops::Range;
use std::time::Duration;

/// A file in its two states. `live` is what every reader sees (the page cache); `durable` is what a crash leaves at least.
#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    live: Content,
    durable: Content,
    /// Changes that are in `live` and not in `durable`, in order.
    log: Vec<Logged>,
    /// The next change's number.
    next: u64,
    /// When the live content was last changed. As good as durable: nothing rests on it.
    modified: Duration,
    /// The length that the durable state will have once the log is synced. Below the live one after a sync has failed: what
    /// it was for takes no part any more, unless it is written again.
    settled: u64,
    /// Whether `live` may differ from `durable` also where the log says nothing: after a failed sync, for example.
    diverged: bool,
}

#[derive(Debug, Clone)]
struct Logged {
    number: u64,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    /// Whole sectors as the page cache had them after a write.
    Write {
        /// Where the device puts them: not always where they belong.
        lands: u64,
        image: Vec<u8>,
        /// The bytes that the write was for, whose space it took.
        bytes: Range<u64>,
        extends: bool,
    },
    SetLength(u64),
    Reserve {
        bytes: Range<u64>,
        extends: bool,
    },
}

/// How many sectors survived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Survivors {
    pub(super) kept: u64,
    pub(super) lost: u64,
}

impl FileState {
    pub(super) const fn live(&self) -> &Content {
        &self.live
    }

    pub(super) const fn modified(&self) -> Duration {
        self.modified
    }

    pub(super) const fn touch(&mut self, now: Duration) {
        self.modified = now;
    }

    pub(super) const fn durable(&self) -> &Content {
        &self.durable
    }

    /// Whether changes wait for a sync.
    pub(super) const fn is_dirty(&self) -> bool {
        !self.log.is_empty()
    }

    /// Writes bytes, whose space must be there. `lands`: where the device puts the sectors instead.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], lands: Option<u64>) {
        let range = offset..offset.saturating_add(bytes.len() as u64);
        let extends = range.end > self.settled;
        self.live.put(offset, bytes);
        self.live.take_space(&range);
        self.live.extend(range.end);
        let (start, image) = self.live.sectors(&range);
        self.diverged |= lands.is_some();
        let lands = lands.unwrap_or(start);
        self.record(Change::Write { lands, image, bytes: range, extends });
    }

    pub(super) fn set_length(&mut self, length: u64) {
        if length != self.live.length() || length < self.settled {
            self.live.set_length(length);
            self.record(Change::SetLength(length));
        }
    }

    pub(super) fn reserve(&mut self, bytes: Range<u64>) {
        let extends = bytes.end > self.settled;
        if extends || self.live.space_missing(&bytes) > 0 {
            self.live.take_space(&bytes);
            self.live.extend(bytes.end);
            self.record(Change::Reserve { bytes, extends });
        }
    }

    fn record(&mut self, change: Change) {
        self.settled = change.length_after(self.settled);
        self.log.push(Logged { number: self.next, change });
        self.next += 1;
    }

    /// The number that the next change will have: a sync that begins now covers those before.
    pub(super) const fn next_number(&self) -> u64 {
        self.next
    }

    /// Makes the changes before `number` durable.
    pub(super) fn sync(&mut self, number: u64) {
        for logged in self.take_log(number) {
            logged.change.apply(&mut self.durable);
        }
        if self.diverged {
            // A misdirected sector may have landed behind the end.
            self.durable.set_length(self.durable.length());
        }
    }

    /// A sync of the changes before `number` that fails: a part of the sectors reaches the disk, the rest never will, and the
    /// page cache shows them all as if nothing had happened. Truncation and allocation are the file system's own data, and
    /// wait for the next sync.
    pub(super) fn fail_sync(&mut self, number: u64, survival: Survival, chance: &mut Chance) -> Survivors {
        let log = self.take_log(number);
        self.diverged |= !log.is_empty();
        let (survivors, waiting) = settle(&mut self.durable, log, survival, chance);
        self.log.splice(..0, waiting);
        let length = self.durable.length();
        self.settled = self.log.iter().fold(length, |length, logged| logged.change.length_after(length));
        survivors
    }

    /// The machine stops: a part of what was not synced is there, and readers see the disk again.
    pub(super) fn crash(&mut self, survival: Survival, chance: &mut Chance) -> Survivors {
        if !self.is_dirty() && !self.diverged {
            return Survivors::default();
        }
        let log = std::mem::take(&mut self.log);
        let (survivors, _) = settle(&mut self.durable, log, survival, chance);
        self.live = self.durable.clone();
        self.settled = self.live.length();
        self.diverged = false;
        survivors
    }

    /// Drops clean pages from the cache: readers see the disk and what still waits for a sync.
    pub(super) fn drop_cache(&mut self) {
        if self.diverged {
            self.live = self.durable.clone();
            for logged in &self.log {
                logged.change.apply_in_cache(&mut self.live);
            }
        }
    }

    /// Turns bits of a durable byte over. Readers see it unless a newer sector waits in the cache.
    pub(super) fn rot(&mut self, offset: u64, mask: u8) {
        if offset >= self.durable.length() {
            return;
        }
        self.durable.flip(offset, mask);
        let waits = self.log.iter().any(|logged| match &logged.change {
            Change::Write { bytes, .. } => (bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES))
                .contains(&(offset / SECTOR_BYTES)),
            Change::SetLength(length) => offset >= length - length % SECTOR_BYTES,
            Change::Reserve { .. } => false,
        });
        if !waits && offset < self.live.length() {
            self.live.flip(offset, mask);
        }
        self.diverged = true;
    }

    fn take_log(&mut self, number: u64) -> Vec<Logged> {
        let count = self.log.partition_point(|logged| logged.number < number);
        self.log.drain(..count).collect()
    }
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { lands, image, .. } => {
                content.put(*lands, image);
                self.apply_metadata(content);
            }
            Self::SetLength(_) | Self::Reserve { .. } => self.apply_metadata(content),
        }
    }

    /// As [`Self::apply`], but where the bytes belong.
    fn apply_in_cache(&self, content: &mut Content) {
        match self {
            Self::Write { image, bytes, .. } => {
                content.put(bytes.start - bytes.start % SECTOR_BYTES, image);
                self.apply_metadata(content);
            }
            Self::SetLength(_) | Self::Reserve { .. } => self.apply_metadata(content),
        }
    }

    fn apply_metadata(&self, content: &mut Content) {
        match self {
            Self::SetLength(length) => content.set_length(*length),
            Self::Write { bytes, extends, .. } | Self::Reserve { bytes, extends } => {
                content.take_space(bytes);
                if *extends {
                    content.extend(bytes.end);
                }
            }
        }
    }

    /// The length of a file that had another before.
    fn length_after(&self, length: u64) -> u64 {
        match self {
            Self::SetLength(length) => *length,
            Self::Write { bytes, extends: true, .. } | Self::Reserve { bytes, extends: true } => {
                length.max(bytes.end)
            }
            Self::Write { .. } | Self::Reserve { .. } => length,
        }
    }

    /// Whether the file's length depends on it.
    const fn changes_length(&self) -> bool {
        match self {
            Self::SetLength(_) => true,
            Self::Write { extends, .. } | Self::Reserve { extends, .. } => *extends,
        }
    }
}

/// Applies what survives of a log: any sectors of the writes, and a prefix of the changes of the length, which go through the
/// file system's own journal. A sector that survives is one that the page cache had at some time. Returns also the truncations
/// and allocations that did not take place.
fn settle(
    content: &mut Content,
    log: Vec<Logged>,
    survival: Survival,
    chance: &mut Chance,
) -> (Survivors, Vec<Logged>) {
    let sectors: u64 = log.iter().map(|logged| logged.change.sectors()).sum();
    let lengths = log.iter().filter(|logged| logged.change.changes_length()).count() as u64;
    let mut survival = survival.for_file(sectors, lengths, chance);
    let (mut survivors, mut waiting) = (Survivors::default(), Vec::new());
    for logged in log {
        if let Change::Write { lands, image, .. } = &logged.change {
            survival.begin_write(chance);
            let places = (*lands..).step_by(SECTOR_BYTES as usize);
            for (sector, place) in image.chunks(SECTOR_BYTES as usize).zip(places) {
                if survival.keeps_sector(chance) {
                    content.put(place, sector);
                    survivors.kept += 1;
                } else {
                    survivors.lost += 1;
                }
            }
        }
        if !logged.change.changes_length() || survival.keeps_length() {
            logged.change.apply_metadata(content);
        } else if !matches!(logged.change, Change::Write { .. }) {
            waiting.push(logged);
        }
    }
    // Sectors that survived behind the length are not of the file.
    content.set_length(content.length());
    (survivors, waiting)
}

impl Change {
    fn sectors(&self) -> u64 {
        match self {
            Self::Write { image, .. } => image.len() as u64 / SECTOR_BYTES,
            Self::SetLength(_) | Self::Reserve { .. } => 0,
        }
    }
}
