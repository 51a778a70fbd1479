//! The store: its log, its index, and how it is opened and compacted.

use crate::entries::{self, ENTRY_BYTES, Keyspace};
use crate::files::{DiskFiles, Files};
use crate::log::{self, FRAME_HEADER_BYTES, FRAMES, Header, MARKS, MAX_PAYLOAD_BYTES, Mark};
use shroud_ledger::block::Block;
use shroud_ledger::receipt::Receipt;
use shroud_ledger::store::{Store, StoreError, TransactionPlace, VisitEntry, WriteBatch};
use shroud_ledger::{BlockHash, CodecError, Height, TransactionHash};
use shroud_runtime::OpenOptions;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const LOG: &str = "store.log";
/// A compacted log that has not taken the place of the other yet.
const NEW: &str = "store.new";
/// A log below this is not compacted: it would be compacted all the time. Small enough to happen in short simulations.
const COMPACTION_BYTES: u64 = 1 << 16;
/// Payload bytes of the frames of a compacted log.
const COMPACTED_FRAME_BYTES: usize = 1 << 14;

/// A ledger's state, blocks, receipts and indexes in a log on plain files.
pub struct LogStore<F: Files> {
    inner: Mutex<Inner<F>>,
}

/// The store on a simulated disk.
pub type SimStore = LogStore<DiskFiles>;

struct Inner<F: Files> {
    files: F,
    directory: PathBuf,
    log: OpenLog<F::File>,
    index: BTreeMap<(Keyspace, Vec<u8>), Location>,
    /// Bytes that the entries of the index would take in a log.
    live: u64,
    /// A write or sync has failed: nobody knows what the disk holds.
    poisoned: Option<String>,
}

/// A log that is written.
struct OpenLog<T> {
    file: T,
    header: Header,
    mark: Mark,
    /// Where the next frame goes.
    end: u64,
    chain: u32,
}

/// Where a value is in the log.
#[derive(Debug, Clone, Copy)]
struct Location {
    offset: u64,
    length: u32,
    crc: u32,
}

/// A verb on a file that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}", path = path.display())]
struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The store takes no more since a verb failed.
#[derive(Debug, thiserror::Error)]
#[error("the store takes no more batches since an error: {0}")]
struct Poisoned(String);

impl<F: Files> LogStore<F> {
    /// Opens or creates the store in a directory. Only one may have it open.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when something that was synced is not there; [`StoreError::Database`] when the disk fails.
    pub fn open(files: F, directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { inner: Mutex::new(Inner::open(files, directory)?) })
    }

    /// Bytes of the log file, for tests of compaction.
    pub fn log_bytes(&self) -> u64 {
        self.lock().log.end
    }

    fn lock(&self) -> MutexGuard<'_, Inner<F>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Files> Store for LogStore<F> {
    fn height(&self) -> Result<Option<Height>, StoreError> {
        self.lock().get(Keyspace::Meta, &[])?.map(|value| read_height(&value)).transpose()
    }

    fn visit_state(&self, visit: &mut VisitEntry<'_>) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let state = (Keyspace::State, Vec::new())..(Keyspace::Blocks, Vec::new());
        let entries: Vec<_> =
            inner.index.range(state).map(|((_, key), location)| (key.clone(), *location)).collect();
        for (key, location) in entries {
            visit(&key, &inner.value(location)?)?;
        }
        Ok(())
    }

    fn write(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        self.lock().guarded(|inner| inner.append(&entries::encode(batch)))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.lock().guarded(|inner| {
            inner.sync()?;
            if inner.log.end > COMPACTION_BYTES.max(inner.live.saturating_mul(2)) {
                inner.compact()?;
            }
            Ok(())
        })
    }

    fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let value = self.lock().get(Keyspace::Blocks, &height.0.to_be_bytes())?;
        value.map(|value| Block::decode(&value).map_err(|error| undecodable("block", &error))).transpose()
    }

    fn block_height(&self, hash: BlockHash) -> Result<Option<Height>, StoreError> {
        self.lock().get(Keyspace::BlockHashes, &hash.0)?.map(|value| read_height(&value)).transpose()
    }

    fn transaction_place(&self, hash: TransactionHash) -> Result<Option<TransactionPlace>, StoreError> {
        self.lock().get(Keyspace::Transactions, &hash.0)?.map(|value| read_place(&value)).transpose()
    }

    fn receipt(&self, place: TransactionPlace) -> Result<Option<Receipt>, StoreError> {
        let value = self.lock().get(Keyspace::Receipts, &entries::place_bytes(place))?;
        value.map(|value| Receipt::decode(&value).map_err(|error| undecodable("receipt", &error))).transpose()
    }
}

impl<F: Files> Inner<F> {
    fn open(mut files: F, directory: &Path) -> Result<Self, StoreError> {
        files.create_dir_all(directory).map_err(failed("create", directory))?;
        // Its name, and those of the directories it is in, must be durable too.
        for parent in directory.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            files.sync_dir(parent).map_err(failed("sync", parent))?;
        }
        let new = directory.join(NEW);
        match files.remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &new)(error));
            }
            _ => {}
        }
        let path = directory.join(LOG);
        let file = match files.open(&path, OpenOptions::writing()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut log = begin(&mut files, directory, Header { generation: 0 })?;
                establish(&mut files, directory, &mut log)?;
                let (index, live, poisoned) = (BTreeMap::new(), 0, None);
                return Ok(Self { files, directory: directory.to_owned(), log, index, live, poisoned });
            }
            other => other.map_err(failed("open", &path))?,
        };
        let length = files.len(&file).map_err(failed("measure", &path))?;
        let header = read_array(&mut files, &file, &path, 0)?.as_ref().and_then(Header::decode);
        let header = header.ok_or_else(|| damaged(&path, 0, "the header is not one"))?;
        let mut mark = None;
        for place in MARKS {
            let bytes = read_array(&mut files, &file, &path, place)?;
            mark = mark.max(bytes.as_ref().and_then(|bytes| Mark::decode(bytes, header)));
        }
        let [first, _] = MARKS;
        let mark = mark.ok_or_else(|| damaged(&path, first, "neither mark is one"))?;
        let log = OpenLog { file, header, mark, end: FRAMES, chain: header.chain() };
        let (index, live, poisoned) = (BTreeMap::new(), 0, None);
        let mut inner = Self { files, directory: directory.to_owned(), log, index, live, poisoned };
        inner.scan(length)?;
        inner.cut(length)?;
        Ok(inner)
    }

    /// Reads all frames up to the first that is none.
    fn scan(&mut self, length: u64) -> Result<(), StoreError> {
        let path = self.path();
        while let Some(payload) = self.next_frame(length)? {
            if !self.take(&payload) {
                return Err(damaged(&path, self.log.end, "a frame's entries do not decode"));
            }
            let length = (payload.len() as u32).to_le_bytes();
            self.log.chain = log::crc(self.log.chain, length, &payload);
            self.log.end += (FRAME_HEADER_BYTES + payload.len()) as u64;
        }
        if self.log.end < self.log.mark.synced {
            let what =
                format!("there is no valid frame, although it was synced up to {}", self.log.mark.synced);
            return Err(damaged(&path, self.log.end, &what));
        }
        Ok(())
    }

    fn next_frame(&mut self, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let (path, offset) = (self.path(), self.log.end);
        let header = read_array(&mut self.files, &self.log.file, &path, offset)?;
        let Some((payload_length, crc)) = header.as_ref().and_then(log::frame_header) else {
            return Ok(None);
        };
        let start = offset + FRAME_HEADER_BYTES as u64;
        if start.saturating_add(payload_length as u64) > length {
            return Ok(None);
        }
        let mut payload = vec![0; payload_length];
        let read = self.files.read_at(&self.log.file, &mut payload, start).map_err(failed("read", &path))?;
        let matches = log::crc(self.log.chain, (payload_length as u32).to_le_bytes(), &payload) == crc;
        Ok((read == payload_length && matches).then_some(payload))
    }

    /// Removes what a crash has torn off, and makes what it has left durable. Written again, since it may be in the page cache
    /// alone: a sync would not help after one that has failed.
    fn cut(&mut self, length: u64) -> Result<(), StoreError> {
        let (path, synced) = (self.path(), self.log.mark.synced);
        if length == self.log.end && synced == self.log.end {
            return Ok(());
        }
        let mut tail = vec![0; usize::try_from(self.log.end - synced).unwrap_or(usize::MAX)];
        let read = self.files.read_at(&self.log.file, &mut tail, synced).map_err(failed("read", &path))?;
        if read != tail.len() {
            return Err(damaged(&path, synced, "it became shorter while it was read"));
        }
        self.files.set_len(&self.log.file, self.log.end).map_err(failed("cut", &path))?;
        self.files.write_at(&self.log.file, &tail, synced).map_err(failed("write", &path))?;
        self.sync()
    }

    fn append(&mut self, payload: &[u8]) -> Result<(), StoreError> {
        let path = self.path();
        append(&mut self.files, &mut self.log, &path, payload)?;
        self.log.end -= (FRAME_HEADER_BYTES + payload.len()) as u64;
        let decodes = self.take(payload);
        debug_assert!(decodes);
        self.log.end += (FRAME_HEADER_BYTES + payload.len()) as u64;
        Ok(())
    }

    /// Takes the entries of the frame at the end into the index; false: they are none.
    fn take(&mut self, payload: &[u8]) -> bool {
        let Some(entries) = entries::decode(payload) else { return false };
        let start = self.log.end + FRAME_HEADER_BYTES as u64;
        for entry in entries {
            let key = (entry.keyspace, entry.key.to_vec());
            let bytes = ENTRY_BYTES + entry.key.len() as u64;
            let before = match entry.value {
                Some((value, at)) => {
                    self.live += bytes + value.len() as u64;
                    let crc = crc32c::crc32c(value);
                    let location = Location { offset: start + at, length: value.len() as u32, crc };
                    self.index.insert(key, location)
                }
                None => self.index.remove(&key),
            };
            self.live -= before.map_or(0, |before| bytes + u64::from(before.length));
        }
        true
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let path = self.path();
        let log = &mut self.log;
        if log.mark.synced == log.end {
            return Ok(());
        }
        self.files.sync_data(&log.file).map_err(failed("sync", &path))?;
        // The mark must not be durable before what it speaks of, nor may it be missing when the sync has returned: without
        // it, damage to what was synced would pass for the work of a crash.
        let mark = Mark { number: log.mark.number + 1, synced: log.end };
        let bytes = mark.encode(log.header);
        self.files.write_at(&log.file, &bytes, mark.place()).map_err(failed("write", &path))?;
        self.files.sync_data(&log.file).map_err(failed("sync", &path))?;
        log.mark = mark;
        Ok(())
    }

    /// Writes what the index has into a new log, which takes the place of this one.
    fn compact(&mut self) -> Result<(), StoreError> {
        let header = Header { generation: self.log.header.generation + 1 };
        let mut log = begin(&mut self.files, &self.directory, header)?;
        let new = self.directory.join(NEW);
        let mut payload = Vec::new();
        let entries: Vec<_> =
            self.index.iter().map(|((keyspace, key), at)| (*keyspace, key.clone(), *at)).collect();
        let mut index = BTreeMap::new();
        for (keyspace, key, location) in entries {
            let value = self.value(location)?;
            let start = log.end + (FRAME_HEADER_BYTES + payload.len()) as u64;
            let offset = start + ENTRY_BYTES + key.len() as u64;
            entries::put(&mut payload, keyspace, &key, Some(&value));
            index.insert((keyspace, key), Location { offset, ..location });
            if payload.len() >= COMPACTED_FRAME_BYTES {
                append(&mut self.files, &mut log, &new, &std::mem::take(&mut payload))?;
            }
        }
        if !payload.is_empty() {
            append(&mut self.files, &mut log, &new, &payload)?;
        }
        establish(&mut self.files, &self.directory, &mut log)?;
        let old = std::mem::replace(&mut self.log, log);
        self.files.close(old.file);
        self.index = index;
        Ok(())
    }

    fn get(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let location = self.index.get(&(keyspace, key.to_vec())).copied();
        location.map(|location| self.value(location)).transpose()
    }

    /// A value, checked against what was written.
    fn value(&mut self, location: Location) -> Result<Vec<u8>, StoreError> {
        let path = self.path();
        let mut value = vec![0; location.length as usize];
        let read = self.files.read_at(&self.log.file, &mut value, location.offset);
        let read = read.map_err(failed("read", &path))?;
        if read != value.len() || crc32c::crc32c(&value) != location.crc {
            return Err(damaged(&path, location.offset, "a value is not what was written"));
        }
        Ok(value)
    }

    /// Runs a verb that writes; when it fails, no later one may.
    fn guarded(&mut self, verb: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if let Some(reason) = &self.poisoned {
            return Err(StoreError::Database(Box::new(Poisoned(reason.clone()))));
        }
        let done = verb(self);
        if let Err(error) = &done {
            self.poisoned = Some(error.to_string());
        }
        done
    }

    fn path(&self) -> PathBuf {
        self.directory.join(LOG)
    }
}

/// Begins a log under the name of the new one.
fn begin<F: Files>(files: &mut F, directory: &Path, header: Header) -> Result<OpenLog<F::File>, StoreError> {
    let path = directory.join(NEW);
    let options = OpenOptions { truncate: true, ..OpenOptions::creating() };
    let file = files.open(&path, options).map_err(failed("create", &path))?;
    let mark = Mark { number: 0, synced: FRAMES };
    Ok(OpenLog { file, header, mark, end: FRAMES, chain: header.chain() })
}

/// Makes a new log durable and gives it its name.
fn establish<F: Files>(
    files: &mut F,
    directory: &Path,
    log: &mut OpenLog<F::File>,
) -> Result<(), StoreError> {
    let (new, path) = (directory.join(NEW), directory.join(LOG));
    let mark = Mark { number: 1, synced: log.end };
    let mut bytes = [0; FRAMES as usize];
    for (place, part) in [(0, log.header.encode()), (mark.place(), mark.encode(log.header))] {
        let place = bytes.iter_mut().skip(usize::try_from(place).unwrap_or(usize::MAX));
        place.zip(part).for_each(|(out, byte)| *out = byte);
    }
    files.write_at(&log.file, &bytes, 0).map_err(failed("write", &new))?;
    files.sync_data(&log.file).map_err(failed("sync", &new))?;
    files.rename(&new, &path).map_err(failed("rename", &new))?;
    files.sync_dir(directory).map_err(failed("sync", directory))?;
    log.mark = mark;
    Ok(())
}

/// Appends a frame.
fn append<F: Files>(
    files: &mut F,
    log: &mut OpenLog<F::File>,
    path: &Path,
    payload: &[u8],
) -> Result<(), StoreError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        let text = format!("a batch has {} bytes; at most {MAX_PAYLOAD_BYTES} are allowed", payload.len());
        return Err(StoreError::Database(text.into()));
    }
    let (frame, chain) = log::frame(log.chain, payload);
    files.write_at(&log.file, &frame, log.end).map_err(failed("write", path))?;
    log.end += frame.len() as u64;
    log.chain = chain;
    Ok(())
}

/// Reads so many bytes; `None`: the file has fewer.
fn read_array<F: Files, const N: usize>(
    files: &mut F,
    file: &F::File,
    path: &Path,
    offset: u64,
) -> Result<Option<[u8; N]>, StoreError> {
    let mut bytes = [0; N];
    let read = files.read_at(file, &mut bytes, offset).map_err(failed("read", path))?;
    Ok((read == N).then_some(bytes))
}

fn read_place(bytes: &[u8]) -> Result<TransactionPlace, StoreError> {
    let place = || {
        let (height, index) = bytes.split_first_chunk::<8>()?;
        let index = u32::from_be_bytes(index.try_into().ok()?);
        Some(TransactionPlace { height: Height(u64::from_be_bytes(*height)), index })
    };
    place().ok_or_else(|| StoreError::Damaged("a transaction's place is not 12 bytes".to_owned()))
}

fn read_height(bytes: &[u8]) -> Result<Height, StoreError> {
    let number = bytes.try_into().map(u64::from_be_bytes);
    number.map(Height).map_err(|_| StoreError::Damaged("a height is not 8 bytes".to_owned()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Database(Box::new(FileError { action, path, source }))
}

fn damaged(path: &Path, offset: u64, what: &str) -> StoreError {
    StoreError::Damaged(format!("{} at offset {offset}: {what}", path.display()))
}

fn undecodable(what: &str, error: &CodecError) -> StoreError {
    StoreError::Damaged(format!("a stored {what} does not decode: {error}"))
}

impl<F: Files> std::fmt::Debug for LogStore<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").finish_non_exhaustive()
    }
}
