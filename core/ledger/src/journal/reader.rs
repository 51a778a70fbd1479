//! Reading a segment: records, and how it ends.

use shroud_crypto::Hash;

use super::record::{self, ALIGNMENT, RECORD_HEADER_BYTES, Record, RecordHeader};
use super::{HEADER_BYTES, Link, SegmentHeader, SegmentHeaderError};
use crate::Height;

/// A machine that reads one segment, given its bytes in pieces of any size.
///
/// Give bytes with [`handle_bytes`](Self::handle_bytes), say [`handle_end`](Self::handle_end) after the file's last one, and drain
/// [`poll_output`](Self::poll_output) after each. It holds at most one record and one piece in memory.
#[derive(Debug)]
pub struct SegmentReader {
    expected: Expected,
    /// Bytes not yet taken, and where in the segment they begin.
    buffer: Vec<u8>,
    taken: usize,
    base: u64,
    ended: bool,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    genesis: Hash,
    index: u64,
    link: Link,
    /// What the next segment's header says; `None`: this is the journal's last segment, and only its end may be torn.
    successor: Option<Link>,
}

#[derive(Clone, Debug)]
enum State {
    /// Before the header.
    Header,
    /// At a record.
    Records { header: SegmentHeader, link: Link },
    /// After something at `bad` that is no record: looking for records behind it.
    Searching(Searching),
    /// The outcome was told, or is still to be told.
    Over(Option<Output>),
}

/// After a place where no record is.
#[derive(Clone, Copy, Debug)]
struct Searching {
    header: SegmentHeader,
    link: Link,
    bad: u64,
    /// Nothing was written there, as far as one can see.
    blank: bool,
    /// Not what a write leaves that was cut off.
    altered: bool,
    /// Where the last bytes end that are not zero.
    dirty: u64,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The next record.
    Record(Record),
    /// The end of what counts. Nothing follows.
    End(End),
    /// The segment was damaged after it was written. Nothing follows; nothing behind it may be used.
    Damaged(Damage),
}

/// How a segment ends that was not damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// After its last record, with nothing behind it but zeros or the file's former use.
    Clean {
        /// Where the next record goes.
        offset: u64,
        /// Where zeros begin that reach to the segment's end: behind `offset` there are remains, to be wiped out of a
        /// fresh segment before the next record.
        dirty: u64,
        /// The segment's header.
        header: SegmentHeader,
        /// What the next record must say.
        link: Link,
    },
    /// With a record that a crash left half written: no reply was given for it. The next record goes over it.
    Torn {
        /// Where the next record goes.
        offset: u64,
        /// As in [`End::Clean`].
        dirty: u64,
        /// The segment's header.
        header: SegmentHeader,
        /// What the next record must say.
        link: Link,
    },
}

/// What was destroyed, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal segment {segment} is damaged at offset {offset}: {reason}")]
pub struct Damage {
    /// The segment's number.
    pub segment: u64,
    /// Where the damage begins.
    pub offset: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a damaged segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The header is no header.
    #[error("{0}")]
    Header(SegmentHeaderError),
    /// The header is of another journal or another segment, or does not go on where the one before ended.
    #[error("the header's {field} is not the expected one")]
    Foreign {
        /// Which field.
        field: &'static str,
    },
    /// A record is bad, and a good one follows.
    #[error("the record of height {height} is bad, but one of height {later} follows at offset {at}")]
    BadRecord {
        /// The height that should be there.
        height: Height,
        /// The height of the one that follows.
        later: Height,
        /// Where it is.
        at: u64,
    },
    /// A record is bad, and the next segment shows that it was once good.
    #[error("the record of height {height} is bad, but the next segment goes on from a later one")]
    LostRecord {
        /// The height that should be there.
        height: Height,
    },
    /// The last record is bad, and not in the way of a write that was cut off, which leaves each sector new or as it was.
    #[error(
        "neither a record of height {height} nor what a write leaves that was cut off: it was changed later"
    )]
    Altered {
        /// The height that should be there.
        height: Height,
    },
    /// A good record is not the one that should be there.
    #[error("the record has height {found} where {expected} should be")]
    WrongHeight {
        /// What is there.
        found: Height,
        /// What should be.
        expected: Height,
    },
    /// A good record names another record before it.
    #[error("the record of height {height} does not follow the record before it")]
    BrokenChain {
        /// Its height.
        height: Height,
    },
}

impl SegmentReader {
    /// A reader of segment `index`. `link` is where the segment before ended ([`Link::genesis`] before the first);
    /// `successor` is the link in the next segment's header, if a segment with a whole header follows.
    pub const fn new(genesis: Hash, index: u64, link: Link, successor: Option<Link>) -> Self {
        let expected = Expected { genesis, index, link, successor };
        Self { expected, buffer: Vec::new(), taken: 0, base: 0, ended: false, state: State::Header }
    }

    /// Takes the segment's next bytes.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// No bytes follow.
    pub const fn handle_end(&mut self) {
        self.ended = true;
    }

    /// The next output. `None`: more bytes are needed, or the segment's end was told.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            match &mut self.state {
                State::Over(output) => return output.take(),
                State::Header => self.read_header()?,
                State::Records { header, link } => {
                    let (header, link) = (*header, *link);
                    if let Some(record) = self.read_record(header, link)? {
                        return Some(Output::Record(record));
                    }
                }
                State::Searching(_) => self.search()?,
            }
        }
    }

    /// `None`: more bytes are needed.
    fn read_header(&mut self) -> Option<()> {
        if self.available().len() < HEADER_BYTES && !self.ended {
            return None;
        }
        let Expected { genesis, index, link, .. } = self.expected;
        // A file takes the name of a segment when its header is durable: one without has lost it.
        let header = match SegmentHeader::decode(self.available()) {
            Ok(header) => header,
            Err(error) => return self.damaged(0, Reason::Header(error)),
        };
        let foreign = [
            ("genesis hash", header.genesis != genesis),
            ("index", header.index != index),
            ("first height", header.link.next != link.next),
            ("previous record", header.link.previous != link.previous),
        ];
        if let Some((field, _)) = foreign.into_iter().find(|(_, differs)| *differs) {
            return self.damaged(0, Reason::Foreign { field });
        }
        self.skip(HEADER_BYTES);
        self.state = State::Records { header, link };
        Some(())
    }

    /// The outer `None`: more bytes are needed. The inner one: the state has changed.
    fn read_record(&mut self, header: SegmentHeader, link: Link) -> Option<Option<Record>> {
        let offset = self.base;
        let bytes = self.available();
        if bytes.len() < ALIGNMENT && !self.ended {
            return None;
        }
        let found = RecordHeader::decode(bytes, header.sealed).filter(|found| found.salt == header.salt);
        if let Some(found) = &found
            && bytes.len() < found.total_bytes()
            && !self.ended
        {
            return None;
        }
        let Some(found) = found.filter(|found| found.matches(bytes)) else {
            let (blank, altered) = (is_blank(bytes), header.fresh && !is_torn(bytes, &header, &link));
            self.state =
                State::Searching(Searching { header, link, bad: offset, blank, altered, dirty: offset });
            return Some(None);
        };
        if found.height != link.next {
            let reason = Reason::WrongHeight { found: found.height, expected: link.next };
            return self.damaged(offset, reason).map(|()| None);
        }
        if found.previous != link.previous {
            return self.damaged(offset, Reason::BrokenChain { height: found.height }).map(|()| None);
        }
        let (hash, payload, bytes) = (found.hash(bytes), found.payload(bytes), found.total_bytes());
        self.skip(bytes);
        self.state = State::Records { header, link: Link { next: found.height.next(), previous: hash } };
        Some(Some(Record { height: found.height, offset, bytes, hash, payload }))
    }

    /// Looks for a good record behind a bad place. `None`: more bytes are needed.
    fn search(&mut self) -> Option<()> {
        let State::Searching(mut searching) = self.state else { return Some(()) };
        let Searching { header, link, bad, .. } = searching;
        loop {
            let bytes = self.available();
            if bytes.len() < ALIGNMENT && !self.ended {
                return None;
            }
            if bytes.is_empty() {
                return self.end_without_more(searching);
            }
            let found = RecordHeader::decode(bytes, header.sealed)
                .filter(|found| found.salt == header.salt && found.height >= link.next);
            if let Some(found) = found {
                if bytes.len() < found.total_bytes() && !self.ended {
                    return None;
                }
                if self.base != bad && found.matches(bytes) {
                    let reason = Reason::BadRecord { height: link.next, later: found.height, at: self.base };
                    return self.damaged(bad, reason);
                }
            }
            // Only the sector of the missing record decides between a clean end and a torn one at first sight; anything else
            // that is not zero and not of the file's former use is a torn record's rest.
            if self.base == bad {
                searching.blank =
                    is_blank(bytes.get(..ALIGNMENT).unwrap_or(bytes)) || is_former(bytes, header.salt);
            }
            let sector = bytes.get(..ALIGNMENT).unwrap_or(bytes);
            if !is_blank(sector) {
                searching.dirty = self.base.saturating_add(sector.len() as u64);
            }
            self.state = State::Searching(searching);
            self.skip(ALIGNMENT);
        }
    }

    fn end_without_more(&mut self, searching: Searching) -> Option<()> {
        let Searching { header, link, bad, blank, altered, dirty } = searching;
        let offset = bad;
        match self.expected.successor {
            // What a recycled file held before may look like anything: the next segment says how far this one went.
            Some(successor) if successor == link => {
                self.over(Output::End(End::Clean { offset, dirty, header, link }))
            }
            Some(_) => self.damaged(bad, Reason::LostRecord { height: link.next }),
            None if altered => self.damaged(bad, Reason::Altered { height: link.next }),
            None if blank => self.over(Output::End(End::Clean { offset, dirty, header, link })),
            None => self.over(Output::End(End::Torn { offset, dirty, header, link })),
        }
    }

    fn available(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        let count = count.min(self.available().len());
        self.taken = self.taken.saturating_add(count);
        self.base = self.base.saturating_add(count as u64);
    }

    fn damaged(&mut self, offset: u64, reason: Reason) -> Option<()> {
        self.over(Output::Damaged(Damage { segment: self.expected.index, offset, reason }))
    }

    fn over(&mut self, output: Output) -> Option<()> {
        self.buffer = Vec::new();
        self.taken = 0;
        self.state = State::Over(Some(output));
        Some(())
    }
}

/// Whether all is zero. A sector at a time without a branch: most of a segment is.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.chunks(ALIGNMENT).all(|sector| sector.iter().fold(0, |all, byte| all | byte) == 0)
}

/// Whether a write that was cut off can have left these bytes where a fresh segment's next record belongs: each sector is
/// new, or zero as it was before; or the bytes are new up to some point, and zero behind it.
fn is_torn(bytes: &[u8], header: &SegmentHeader, link: &Link) -> bool {
    let mut sectors = bytes.chunks(ALIGNMENT);
    let first = sectors.next().unwrap_or_default();
    if is_blank(first) {
        return true;
    }
    let follows = |found: &RecordHeader| {
        found.salt == header.salt && found.height == link.next && found.previous == link.previous
    };
    let found = RecordHeader::decode(bytes, header.sealed).filter(follows);
    if header.sealed {
        // A sector that was written to its end has its mark, and what was not written is missing as a whole.
        let Some(found) = found else { return !record::is_marked(first) };
        let mut sectors = bytes.chunks(ALIGNMENT).take(found.total_bytes() / ALIGNMENT);
        return bytes.len() < found.total_bytes() || !sectors.all(record::is_marked);
    }
    let Some(found) = found else {
        return is_blank(first.get(RECORD_HEADER_BYTES..).unwrap_or_default());
    };
    // A file that ends within the record was cut, by whomever. A record that has a sector of zeros or ends with one is given
    // the benefit of the doubt.
    let end = RECORD_HEADER_BYTES.saturating_add(found.length);
    bytes.len() < found.total_bytes()
        || sectors.take(found.total_bytes() / ALIGNMENT - 1).any(is_blank)
        || bytes.get(end.saturating_sub(1)) == Some(&0)
}

/// Whether a record of the file's former use stands here.
fn is_former(bytes: &[u8], salt: u64) -> bool {
    [true, false]
        .into_iter()
        .filter_map(|sealed| RecordHeader::decode(bytes, sealed))
        .any(|found| found.salt != salt)
}
