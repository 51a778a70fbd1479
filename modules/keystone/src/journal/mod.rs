//! The journal on disk: one record for each block, one write and one sync for each record.
//!
//! A directory holds the segments, named by their number, and at most one spare. The spare is made in the background when the
//! current segment is half full: from the oldest segment whose blocks the store has made durable, or else anew. At a
//! roll-over it gets its header, is synced, and only then renamed to its number: whatever has a number has a whole header.
//!
//! The journal fails once: after an error of a write or a sync nobody knows what the disk holds, so no later write may be
//! acknowledged. What the disk does hold shows when the directory is opened anew.

mod directory;
mod scan;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shroud_crypto::Hash;
use shroud_ledger::Height;
use shroud_ledger::journal::{Damage, Link, SegmentHeader, SegmentHeaderError, SegmentWriter, WriteError};
use shroud_runtime::{BlockFile, OpenOptions, Runtime, Task};

pub(crate) use directory::{list, segment_path};
pub(crate) use scan::{Scan, ScanEnd};

use directory::spare_path;

use crate::KeepSegments;
use crate::metrics::Metrics;

/// Payloads from which on a record is made on another thread: checksum, hash and copy take about a millisecond for each MiB.
const OFFLOAD_BYTES: usize = 256 << 10;

/// Zeros that are written at once.
const WIPED_BYTES: usize = 1 << 20;

/// A record's place and bytes.
type Encoded = Result<(u64, Vec<u8>), WriteError>;

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A write or sync failed before. Restart, so that the journal is recovered.
    #[error("the journal takes no more records since an error: {0}")]
    Poisoned(Arc<str>),
    /// A record cannot be made.
    #[error(transparent)]
    Record(#[from] WriteError),
    /// A segment was damaged after it was written. Restore the directory from a copy.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A segment is missing between others.
    #[error("journal segment {missing} is missing: there are later ones")]
    Missing {
        /// Which one.
        missing: u64,
    },
    /// The first segment there is has no readable header.
    #[error("journal segment {segment} is damaged at offset 0: {error}")]
    Header {
        /// Which one.
        segment: u64,
        /// What is wrong with it.
        error: SegmentHeaderError,
    },
    /// The journal belongs to another chain.
    #[error(
        "the journal belongs to another chain: its genesis hash is {found}, this genesis file's is {expected}"
    )]
    OtherChain {
        /// What the journal says.
        found: Hash,
        /// What the genesis file says.
        expected: Hash,
    },
}

impl JournalError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What a journal is for and how large its files are.
#[derive(Clone, Debug)]
pub(crate) struct JournalOptions {
    pub(crate) directory: PathBuf,
    pub(crate) genesis: Hash,
    pub(crate) segment_bytes: u64,
    pub(crate) keep: KeepSegments,
}

/// The journal, open for writing. Belongs to the shard that opened it.
pub(crate) struct Journal<R: Runtime> {
    runtime: R,
    options: JournalOptions,
    metrics: Arc<Metrics>,
    index: u64,
    file: R::File,
    writer: SegmentWriter,
    /// Earlier segments, oldest first.
    closed: VecDeque<Closed>,
    /// All blocks up to this height are durable in the store.
    stored: Height,
    spare: Option<Task<Result<Spare<R::File>, JournalError>>>,
    poisoned: Option<Arc<str>>,
}

/// A segment that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) index: u64,
    /// The height of its last record.
    pub(crate) last: Height,
}

impl<R: Runtime> Journal<R> {
    /// Begins a journal with its first segment.
    pub(crate) async fn create(
        runtime: R,
        options: JournalOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self, JournalError> {
        let spare = make_spare(&runtime, &options, None).await?;
        let link = Link::genesis(options.genesis);
        let writer = begin(&runtime, &options, &spare, 0, link).await?;
        metrics.segments.add(1);
        Ok(Self::new(runtime, options, metrics, 0, spare.file, writer, VecDeque::new()))
    }

    /// Goes on where a scan has ended, once its last record is durable.
    pub(crate) async fn resume(
        runtime: R,
        options: JournalOptions,
        metrics: Arc<Metrics>,
        end: ScanEnd,
    ) -> Result<Self, JournalError> {
        let path = segment_path(&options.directory, end.header.index);
        let file = runtime.open(&path, OpenOptions::writing()).await;
        let file = file.map_err(JournalError::io("open", &path))?;
        let length = file.len().await.map_err(JournalError::io("measure", &path))?;
        secure(&file, &path, &end).await?;
        wipe(&file, &path, &end).await?;
        let writer = SegmentWriter::resume(&end.header, length, end.offset, end.link);
        Ok(Self::new(runtime, options, metrics, end.header.index, file, writer, end.closed.into()))
    }

    fn new(
        runtime: R,
        options: JournalOptions,
        metrics: Arc<Metrics>,
        index: u64,
        file: R::File,
        writer: SegmentWriter,
        closed: VecDeque<Closed>,
    ) -> Self {
        let (stored, spare, poisoned) = (Height(0), None, None);
        Self { runtime, options, metrics, index, file, writer, closed, stored, spare, poisoned }
    }

    /// Makes a block durable. When this returns, it is.
    ///
    /// Cancel safety: not cancel safe; after a drop the journal must be dropped too, and recovered.
    pub(crate) async fn append(&mut self, height: Height, payload: Vec<u8>) -> Result<(), JournalError> {
        if let Some(reason) = &self.poisoned {
            return Err(JournalError::Poisoned(Arc::clone(reason)));
        }
        let appended = self.try_append(height, payload).await;
        if let Err(error) = &appended {
            self.poisoned = Some(error.to_string().into());
        }
        appended
    }

    async fn try_append(&mut self, height: Height, payload: Vec<u8>) -> Result<(), JournalError> {
        let (encoded, payload) = self.encode(height, payload).await?;
        let (offset, record) = match encoded {
            Err(WriteError::SegmentFull) => {
                self.roll_over().await?;
                self.encode(height, payload).await?.0?
            }
            other => other?,
        };
        let path = || segment_path(&self.options.directory, self.index);
        let bytes = record.len() as u64;
        #[cfg(feature = "planted-faults")]
        let early = shroud_planted::is_planted(shroud_planted::Fault::AcknowledgeBeforeSync);
        #[cfg(not(feature = "planted-faults"))]
        let early = false;
        if early {
            self.file.sync_data().await.map_err(|error| JournalError::io("sync", &path())(error))?;
        }
        self.file
            .write_at(record, offset)
            .await
            .result
            .map_err(|error| JournalError::io("write", &path())(error))?;
        if !early {
            self.file.sync_data().await.map_err(|error| JournalError::io("sync", &path())(error))?;
        }
        self.metrics.journal_bytes.add(bytes);
        if self.spare.is_none() && self.writer.offset() > self.options.segment_bytes / 2 {
            self.start_spare();
        }
        Ok(())
    }

    /// The record's place and bytes, and the payload again.
    async fn encode(&mut self, height: Height, payload: Vec<u8>) -> Result<(Encoded, Vec<u8>), JournalError> {
        if payload.len() < OFFLOAD_BYTES {
            return Ok((self.writer.append(height, &payload), payload));
        }
        let mut writer = self.writer;
        let job = move || (writer.append(height, &payload), writer, payload);
        let (encoded, writer, payload) = self.runtime.offload(job).await.map_err(|lost| {
            JournalError::io("prepare", &segment_path(&self.options.directory, self.index))(io::Error::other(
                lost,
            ))
        })?;
        self.writer = writer;
        Ok((encoded, payload))
    }

    /// Says that the store has made all blocks up to `stored` durable: segments that hold no later ones may go.
    pub(crate) fn retire(&mut self, stored: Height) {
        self.stored = self.stored.max(stored);
    }

    async fn roll_over(&mut self) -> Result<(), JournalError> {
        if self.spare.is_none() {
            self.start_spare();
        }
        let spare = match self.spare.take() {
            Some(task) => task.await.unwrap_or_else(|error| {
                let path = spare_path(&self.options.directory);
                Err(JournalError::io("prepare", &path)(io::Error::other(error)))
            })?,
            None => make_spare(&self.runtime, &self.options, None).await?,
        };
        let link = self.writer.link();
        let last = Height(link.next.0.saturating_sub(1));
        self.writer = begin(&self.runtime, &self.options, &spare, self.index.saturating_add(1), link).await?;
        self.closed.push_back(Closed { index: self.index, last });
        self.index = self.index.saturating_add(1);
        self.file = spare.file;
        self.metrics.segments.add(1);
        Ok(())
    }

    /// Starts making the next segment, and lets the ones go that nobody needs.
    fn start_spare(&mut self) {
        let mut obsolete = Vec::new();
        while self.options.keep.oldest_may_go(self.closed.len())
            && self.closed.front().is_some_and(|oldest| oldest.last <= self.stored)
        {
            obsolete.extend(self.closed.pop_front());
        }
        let (runtime, options) = (self.runtime.clone(), self.options.clone());
        self.spare = Some(self.runtime.spawn("journal-spare", async move {
            // The oldest first: what is left after a crash has no gaps.
            let recycled = obsolete.pop();
            for segment in obsolete {
                let path = segment_path(&options.directory, segment.index);
                runtime.remove_file(&path).await.map_err(JournalError::io("remove", &path))?;
            }
            make_spare(&runtime, &options, recycled.map(|segment| segment.index)).await
        }));
    }
}

/// Makes the last record durable before anybody builds on it. The run before may have ended between its write and its sync,
/// or because the sync failed: then the system may show a record that is not on the disk, and takes it for clean, so that
/// only writing it again helps (Rebello and others, "Can applications recover from fsync failures?", 2020). Records before
/// it were synced, or it would not have been written.
async fn secure<F: BlockFile>(file: &F, path: &Path, end: &ScanEnd) -> Result<(), JournalError> {
    #[cfg(feature = "planted-faults")]
    if shroud_planted::is_planted(shroud_planted::Fault::TrustLastRecord) {
        return Ok(());
    }
    let (offset, bytes) = (end.offset.saturating_sub(end.last), usize::try_from(end.last).unwrap_or(0));
    if bytes > 0 {
        let lent = file.read_at(vec![0; bytes], offset).await;
        let count = lent.result.map_err(JournalError::io("read", path))?;
        if count < bytes {
            return Err(JournalError::io("read", path)(io::ErrorKind::UnexpectedEof.into()));
        }
        file.write_at(lent.buffer, offset).await.result.map_err(JournalError::io("write", path))?;
    }
    file.sync_data().await.map_err(JournalError::io("sync", path))
}

/// Wipes what a torn record has left, so that a fresh segment holds nothing but records and zeros: in what the next write
/// leaves if it is cut off, each sector shall be that write's or zero. Not in recycled segments, which are full of remains.
async fn wipe<F: BlockFile>(file: &F, path: &Path, end: &ScanEnd) -> Result<(), JournalError> {
    if !end.header.fresh || end.dirty <= end.offset {
        return Ok(());
    }
    let mut offset = end.offset;
    while offset < end.dirty {
        let bytes = usize::try_from(end.dirty - offset).unwrap_or(WIPED_BYTES).min(WIPED_BYTES);
        file.write_at(vec![0; bytes], offset).await.result.map_err(JournalError::io("wipe", path))?;
        offset = offset.saturating_add(bytes as u64);
    }
    file.sync_data().await.map_err(JournalError::io("sync", path))
}

/// A file that may become a segment.
pub(crate) struct Spare<F> {
    file: F,
    /// It holds nothing but zeros.
    fresh: bool,
}

/// Makes the spare file: the segment `recycled`, or a new one, of the full length and allocated.
async fn make_spare<R: Runtime>(
    runtime: &R,
    options: &JournalOptions,
    recycled: Option<u64>,
) -> Result<Spare<R::File>, JournalError> {
    let path = spare_path(&options.directory);
    if let Some(index) = recycled {
        let from = segment_path(&options.directory, index);
        runtime.rename(&from, &path).await.map_err(JournalError::io("rename", &from))?;
    }
    let file =
        runtime.open(&path, OpenOptions::creating()).await.map_err(JournalError::io("create", &path))?;
    let length = file.len().await.map_err(JournalError::io("measure", &path))?;
    if length != options.segment_bytes {
        file.set_len(options.segment_bytes).await.map_err(JournalError::io("cut", &path))?;
    }
    // Also when it had the length before: a crash may have come between.
    file.allocate(0, options.segment_bytes).await.map_err(JournalError::io("allocate", &path))?;
    file.sync_all().await.map_err(JournalError::io("sync", &path))?;
    let directory = &options.directory;
    runtime.sync_dir(directory).await.map_err(JournalError::io("sync", directory))?;
    // A spare that was there may have been a segment before.
    Ok(Spare { file, fresh: recycled.is_none() && length == 0 })
}

/// Makes a spare the segment `index`.
async fn begin<R: Runtime>(
    runtime: &R,
    options: &JournalOptions,
    spare: &Spare<R::File>,
    index: u64,
    link: Link,
) -> Result<SegmentWriter, JournalError> {
    let Spare { file: spare, fresh } = spare;
    let mut salt = [0; 8];
    runtime.fill(&mut salt);
    let (genesis, salt, fresh) = (options.genesis, u64::from_le_bytes(salt), *fresh);
    let header = SegmentHeader { genesis, index, salt, fresh, sealed: true, link };
    let (from, to) = (spare_path(&options.directory), segment_path(&options.directory, index));
    spare.write_at(header.encode(), 0).await.result.map_err(JournalError::io("write", &from))?;
    spare.sync_data().await.map_err(JournalError::io("sync", &from))?;
    runtime.rename(&from, &to).await.map_err(JournalError::io("rename", &from))?;
    let directory = &options.directory;
    runtime.sync_dir(directory).await.map_err(JournalError::io("sync", directory))?;
    Ok(SegmentWriter::new(&header, options.segment_bytes))
}
