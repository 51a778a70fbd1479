//! Files: the disk's verbs as operations that take time.
//!
//! An operation takes place a little after it was asked for, at an instant that is drawn, and its result is there when the
//! disk's latency has passed.

use crate::arena::Key;
use crate::chance::Chance;
use crate::disk::{Disk, FileHandle, SyncTicket, Timed};
use crate::errors::dead;
use crate::event::Event;
use crate::host::{Host, HostId, Owner};
use crate::network::link::nanoseconds;
use crate::trace::Kind;
use crate::universe::{Universe, World};
use shroud_runtime::file::{FileStatus, Lent};
use shroud_runtime::{BlockFile, OpenOptions};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long an operation waits for its turn, in nanoseconds.
const QUEUE_MOST: u64 = 20_000;

/// What is asked of a disk.
pub(crate) enum Request {
    Open(PathBuf, OpenOptions),
    Read { file: FileHandle, buffer: Vec<u8>, offset: u64 },
    Write { file: FileHandle, buffer: Vec<u8>, offset: u64 },
    Sync(FileHandle),
    Allocate { file: FileHandle, offset: u64, length: u64 },
    SetLength(FileHandle, u64),
    Length(FileHandle),
    Status(FileHandle),
    ReadDirectory(PathBuf),
    CreateDirectories(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
}

/// What comes of it.
#[derive(Debug, Default)]
pub(crate) enum Value {
    #[default]
    Nothing,
    File(FileHandle),
    Count(u64),
    Status(FileStatus),
    Paths(Vec<PathBuf>),
}

/// What the world keeps of an operation.
pub(crate) struct Operation {
    pub(crate) owner: Owner,
    stage: Stage,
    waker: Option<Waker>,
    /// Nobody waits for it any more.
    abandoned: bool,
}

enum Stage {
    Asked(Request),
    Syncing(SyncTicket),
    Performed(io::Result<Value>, Vec<u8>),
    Done(io::Result<Value>, Vec<u8>),
    Taken,
}

impl World {
    fn ask(&mut self, owner: Owner, request: Request) -> io::Result<Key> {
        let delay = self.alive(owner).ok_or_else(dead)?.chance.between(1_000, QUEUE_MOST);
        let operation = Operation { owner, stage: Stage::Asked(request), waker: None, abandoned: false };
        let key = self.operations.insert(operation);
        self.queue.push(self.now + delay, Event::Operation(key));
        Ok(key)
    }

    /// Has an operation take place.
    pub(crate) fn perform(&mut self, key: Key) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        let owner = operation.owner;
        let Stage::Asked(request) = std::mem::replace(&mut operation.stage, Stage::Taken) else { return };
        let now = self.now;
        let Some(host) = self.alive(owner) else { return };
        host.disk.set_date(host.clock.wall(now));
        let (stage, latency, detail) = perform(host, request);
        if let Some(operation) = self.operations.get_mut(key) {
            operation.stage = stage;
        }
        self.note(Kind::FileOperation, key.number(), detail);
        self.queue.push(self.now + nanoseconds(latency), Event::OperationDone(key));
    }

    pub(crate) fn operation_done(&mut self, key: Key) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        let owner = operation.owner;
        match std::mem::replace(&mut operation.stage, Stage::Taken) {
            Stage::Syncing(ticket) => {
                let Some(host) = self.alive(owner) else { return };
                let (result, stall) = host.disk.finish_sync(ticket, &mut host.chance);
                let failed = result.is_err();
                if let Some(operation) = self.operations.get_mut(key) {
                    operation.stage = Stage::Performed(result.map(|()| Value::Nothing), Vec::new());
                }
                self.note(Kind::FileOperation, key.number(), u64::from(failed));
                self.queue.push(self.now + nanoseconds(stall), Event::OperationDone(key));
            }
            Stage::Performed(result, buffer) if operation.abandoned => {
                drop(buffer);
                if let (Ok(Value::File(file)), Some(host)) = (result, self.alive(owner)) {
                    host.disk.close(file);
                }
                self.operations.remove(key);
            }
            Stage::Performed(result, buffer) => {
                operation.stage = Stage::Done(result, buffer);
                let mut waker = operation.waker.take();
                self.wake(&mut waker);
            }
            other => operation.stage = other,
        }
    }

    fn take_result(&mut self, key: Key, waker: &Waker) -> Poll<(io::Result<Value>, Vec<u8>)> {
        let Some(operation) = self.operations.get_mut(key) else {
            return Poll::Ready((Err(dead()), Vec::new()));
        };
        match std::mem::replace(&mut operation.stage, Stage::Taken) {
            Stage::Done(result, buffer) => {
                self.operations.remove(key);
                Poll::Ready((result, buffer))
            }
            other => {
                operation.stage = other;
                operation.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    fn abandon_operation(&mut self, key: Key) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        operation.abandoned = true;
        operation.waker = None;
        let owner = operation.owner;
        if let Stage::Done(result, _) = &operation.stage {
            let opened = match result {
                Ok(Value::File(file)) => Some(*file),
                _ => None,
            };
            if let (Some(file), Some(host)) = (opened, self.alive(owner)) {
                host.disk.close(file);
            }
            self.operations.remove(key);
        }
    }
}

fn perform(host: &mut Host, request: Request) -> (Stage, Duration, u64) {
    let (disk, chance) = (&mut host.disk, &mut host.chance);
    let unit = |(result, latency): Timed<()>| (result.map(|()| Value::Nothing), latency);
    let detail = match &request {
        Request::Read { buffer, .. } | Request::Write { buffer, .. } => buffer.len() as u64,
        Request::Allocate { length, .. } | Request::SetLength(_, length) => *length,
        _ => 0,
    };
    let ((result, latency), buffer) = match request {
        Request::Read { file, mut buffer, offset } => {
            let (result, latency) = disk.read_at(file, &mut buffer, offset, chance);
            ((result.map(|count| Value::Count(count as u64)), latency), buffer)
        }
        Request::Write { file, buffer, offset } => {
            (unit(disk.write_at(file, &buffer, offset, chance)), buffer)
        }
        Request::Sync(file) => match disk.begin_sync(file, chance) {
            (Ok(ticket), latency) => return (Stage::Syncing(ticket), latency, detail),
            (Err(error), latency) => ((Err(error), latency), Vec::new()),
        },
        Request::SyncDirectory(path) => match disk.begin_sync_dir(&path, chance) {
            (Ok(ticket), latency) => return (Stage::Syncing(ticket), latency, detail),
            (Err(error), latency) => ((Err(error), latency), Vec::new()),
        },
        other => (other.perform(disk, chance), Vec::new()),
    };
    let detail = detail << 1 | u64::from(result.is_err());
    (Stage::Performed(result, buffer), latency, detail)
}

impl Request {
    /// Those that lend no buffer and take place at once.
    fn perform(self, disk: &mut Disk, chance: &mut Chance) -> Timed<Value> {
        let unit = |(result, latency): Timed<()>| (result.map(|()| Value::Nothing), latency);
        match self {
            Self::Open(path, options) => {
                let (result, latency) = disk.open(&path, options, chance);
                (result.map(Value::File), latency)
            }
            Self::Allocate { file, offset, length } => unit(disk.allocate(file, offset, length, chance)),
            Self::SetLength(file, length) => unit(disk.set_len(file, length, chance)),
            Self::Length(file) => {
                let (result, latency) = disk.len(file, chance);
                (result.map(Value::Count), latency)
            }
            Self::Status(file) => {
                let (result, latency) = disk.status(file, chance);
                (result.map(Value::Status), latency)
            }
            Self::ReadDirectory(path) => {
                let (result, latency) = disk.read_dir(&path, chance);
                (result.map(Value::Paths), latency)
            }
            Self::CreateDirectories(path) => unit(disk.create_dir_all(&path, chance)),
            Self::Rename(from, to) => unit(disk.rename(&from, &to, chance)),
            Self::Remove(path) => unit(disk.remove_file(&path, chance)),
            Self::Read { .. } | Self::Write { .. } | Self::Sync(_) | Self::SyncDirectory(_) => {
                (Ok(Value::Nothing), Duration::ZERO)
            }
        }
    }
}

/// Asks a disk for something and waits for the result. When this is dropped, the operation takes place all the same.
pub(crate) async fn operate(
    universe: &Universe,
    owner: Owner,
    request: Request,
) -> (io::Result<Value>, Vec<u8>) {
    let key = match universe.with(|world| world.ask(owner, request)) {
        Ok(key) => key,
        Err(error) => return (Err(error), Vec::new()),
    };
    let mut waiting = Waiting { universe, key: Some(key) };
    let result = poll_fn(|cx| universe.with(|world| world.take_result(key, cx.waker()))).await;
    waiting.key = None;
    result
}

struct Waiting<'a> {
    universe: &'a Universe,
    key: Option<Key>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.universe.with(|world| world.abandon_operation(key));
        }
    }
}

/// An open file.
#[derive(Debug)]
pub struct SimFile {
    universe: Universe,
    owner: Owner,
    handle: FileHandle,
}

impl SimFile {
    pub(crate) async fn open(
        universe: &Universe,
        owner: Owner,
        path: &Path,
        options: OpenOptions,
    ) -> io::Result<Self> {
        match operate(universe, owner, Request::Open(path.to_owned(), options)).await.0? {
            Value::File(handle) => Ok(Self { universe: universe.clone(), owner, handle }),
            _ => Err(dead()),
        }
    }

    async fn run(&self, request: Request) -> io::Result<()> {
        operate(&self.universe, self.owner, request).await.0.map(|_| ())
    }
}

impl BlockFile for SimFile {
    async fn read_at(&self, buffer: Vec<u8>, offset: u64) -> Lent<usize> {
        let request = Request::Read { file: self.handle, buffer, offset };
        let (result, buffer) = operate(&self.universe, self.owner, request).await;
        let count = |value| match value {
            Value::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => 0,
        };
        Lent { result: result.map(count), buffer }
    }

    async fn write_at(&self, buffer: Vec<u8>, offset: u64) -> Lent<()> {
        let request = Request::Write { file: self.handle, buffer, offset };
        let (result, buffer) = operate(&self.universe, self.owner, request).await;
        Lent { result: result.map(|_| ()), buffer }
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.run(Request::Sync(self.handle)).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.run(Request::Sync(self.handle)).await
    }

    async fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.run(Request::Allocate { file: self.handle, offset, length }).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.run(Request::SetLength(self.handle, length)).await
    }

    async fn status(&self) -> io::Result<FileStatus> {
        match operate(&self.universe, self.owner, Request::Status(self.handle)).await.0? {
            Value::Status(status) => Ok(status),
            _ => Err(dead()),
        }
    }

    async fn len(&self) -> io::Result<u64> {
        match operate(&self.universe, self.owner, Request::Length(self.handle)).await.0? {
            Value::Count(count) => Ok(count),
            _ => Ok(0),
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.universe.with(|world| {
            if let Some(host) = world.alive(self.owner) {
                host.disk.close(self.handle);
            }
        });
    }
}

/// A host's disk for code that blocks, such as a store that runs in offloaded jobs: each verb lets its latency pass.
#[derive(Debug, Clone)]
pub struct BlockingDisk {
    universe: Universe,
    owner: Owner,
}

impl BlockingDisk {
    pub(crate) fn new(universe: Universe, owner: Owner) -> Self {
        Self { universe, owner }
    }

    /// Uses the disk.
    ///
    /// # Errors
    /// Those of `action`, and one when the host is down.
    pub fn with<T>(&self, action: impl FnOnce(&mut Disk, &mut Chance) -> Timed<T>) -> io::Result<T> {
        let (result, latency) = self.universe.with(|world| {
            let number = self.owner.host as u64;
            let Some(host) = world.alive(self.owner) else { return (Err(dead()), Duration::ZERO) };
            let (result, latency) = action(&mut host.disk, &mut host.chance);
            world.note(Kind::FileOperation, number, nanoseconds(latency) << 1 | u64::from(result.is_err()));
            (result, latency)
        });
        self.universe.spend(latency);
        result
    }
}

impl Universe {
    /// A host's disk, for code that blocks; it fails once this run of the host has ended.
    #[must_use]
    pub fn blocking_disk(&self, host: HostId) -> BlockingDisk {
        let run = self.with(|world| world.hosts.get(host.0).map_or(0, |host| host.run));
        BlockingDisk::new(self.clone(), Owner { host: host.0, run })
    }

    /// Does something with a host's disk from outside: arms faults, looks what is durable.
    pub fn disk<T>(&self, host: HostId, action: impl FnOnce(&mut Disk) -> T) -> Option<T> {
        self.with(|world| world.hosts.get_mut(host.0).map(|host| action(&mut host.disk)))
    }
}
