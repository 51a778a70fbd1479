//! What happened, as a hash and as records.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// What a [`Record`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    TaskPolled,
    AlarmFired,
    JobRun,
    EntropyDrawn,
    Listening,
    Connecting,
    Connected,
    Refused,
    Accepted,
    StreamWritten,
    StreamRead,
    StreamClosed,
    StreamReset,
    SegmentArrived,
    SegmentLost,
    Acknowledged,
    DatagramSent,
    DatagramArrived,
    DatagramLost,
    DatagramRead,
    FileOperation,
    HostStarted,
    HostCrashed,
    HostPaused,
    HostResumed,
    ClockChanged,
    LinkChanged,
    Mark,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // TaskPolled -> task polled
        let name = format!("{self:?}");
        for (place, letter) in name.char_indices() {
            if letter.is_ascii_uppercase() && place > 0 {
                f.write_str(" ")?;
            }
            fmt::Write::write_char(f, letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Counts from 0 over a whole run.
    pub event: u64,
    /// World time, in nanoseconds.
    pub time: u64,
    /// What it was.
    pub kind: Kind,
    /// Which task, alarm, connection, socket or host.
    pub subject: u64,
    /// A length, a count, or what else belongs to it.
    pub detail: u64,
    /// A digest of the bytes, 0 without any.
    pub digest: u64,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, time, kind, subject, detail, digest } = self;
        let time = Duration::from_nanos(*time);
        write!(f, "event {event} at {time:?}: {kind} #{subject} ({detail})")?;
        if *digest != 0 {
            write!(f, " bytes {digest:016x}")?;
        }
        Ok(())
    }
}

/// Which records are kept beside the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// None: the quickest.
    #[default]
    Off,
    /// The last so many.
    Last(usize),
    /// All, 48 bytes each.
    All,
}

/// Bytes that are hashed together: enough for the hash function's widest form.
const BATCH: usize = 64 << 10;

/// Hashes and records what happens.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
    recording: Recording,
    records: VecDeque<Record>,
    events: u64,
}

impl Trace {
    pub(crate) fn new(recording: Recording) -> Self {
        let waiting = Vec::with_capacity(BATCH);
        Self { hasher: blake3::Hasher::new(), waiting, recording, records: VecDeque::new(), events: 0 }
    }

    /// Notes an event.
    pub(crate) fn note(&mut self, time: u64, kind: Kind, subject: u64, detail: u64) {
        self.note_bytes(time, kind, subject, detail, &[]);
    }

    /// Notes an event with the bytes that went in or out.
    pub(crate) fn note_bytes(&mut self, time: u64, kind: Kind, subject: u64, detail: u64, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() + 32 > BATCH {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        self.waiting.push(kind as u8);
        for word in [time, subject, detail] {
            self.waiting.extend_from_slice(&word.to_le_bytes());
        }
        if bytes.len() > BATCH / 2 {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
            self.hasher.update(bytes);
        } else {
            self.waiting.extend_from_slice(bytes);
        }
        let event = self.events;
        self.events += 1;
        if self.recording == Recording::Off {
            return;
        }
        if let Recording::Last(most) = self.recording
            && self.records.len() >= most.max(1)
        {
            self.records.pop_front();
        }
        let digest = if bytes.is_empty() { 0 } else { digest(bytes) };
        self.records.push_back(Record { event, time, kind, subject, detail, digest });
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.waiting);
        *hasher.finalize().as_bytes()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.iter().copied().collect()
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Where two runs that should be the same part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// What the first run did there; `None`: it had ended.
    pub left: Option<Record>,
    /// What the second run did there; `None`: it had ended.
    pub right: Option<Record>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |record: &Option<Record>| record.map_or("the end".to_owned(), |record| record.to_string());
        write!(f, "the runs part: {} in the first, {} in the second", side(&self.left), side(&self.right))
    }
}

/// The first record that differs between two runs, both recorded from the same event on.
#[must_use]
pub fn first_difference(left: &[Record], right: &[Record]) -> Option<Divergence> {
    let place = (0..left.len().max(right.len())).find(|place| left.get(*place) != right.get(*place))?;
    Some(Divergence { left: left.get(place).copied(), right: right.get(place).copied() })
}
