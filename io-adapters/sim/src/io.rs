//! [`SimIo`]: the seam's I/O verbs.

use crate::alarm::SimAlarm;
use crate::errors::{dead, timed_out};
use crate::file::{BlockingDisk, Request, SimFile, Value, operate};
use crate::host::{HostId, Owner};
use crate::network::datagram::SimSocket;
use crate::network::tcp::{SimListener, SimStream, connect};
use crate::trace::Kind;
use crate::universe::Universe;
use shroud_runtime::{Alarm, ConnectOptions, DatagramOptions, Io, ListenOptions, OpenOptions};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// One run of one host, as its tasks see the world. Once the host has crashed or was stopped, everything here fails.
#[derive(Debug, Clone)]
pub struct SimIo {
    universe: Universe,
    owner: Owner,
}

impl SimIo {
    pub(crate) fn new(universe: Universe, owner: Owner) -> Self {
        Self { universe, owner }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> HostId {
        HostId(self.owner.host)
    }

    /// The world.
    #[must_use]
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// The host's disk, for code that blocks.
    #[must_use]
    pub fn blocking_disk(&self) -> BlockingDisk {
        BlockingDisk::new(self.universe.clone(), self.owner)
    }

    async fn names(&self, request: Request) -> io::Result<Value> {
        operate(&self.universe, self.owner, request).await.0
    }
}

impl Io for SimIo {
    type Stream = SimStream;
    type Listener = SimListener;
    type Socket = SimSocket;
    type File = SimFile;
    type Alarm = SimAlarm;

    fn now(&self) -> Instant {
        self.universe.instant(self.owner.host)
    }

    fn unix_time(&self) -> Duration {
        self.universe.with(|world| {
            let now = world.now;
            world.hosts.get(self.owner.host).map_or(Duration::ZERO, |host| host.clock.wall(now))
        })
    }

    fn fill(&self, out: &mut [u8]) {
        self.universe.with(|world| {
            let Some(host) = world.hosts.get_mut(self.owner.host) else { return };
            host.entropy.fill(out);
            let number = self.owner.host as u64;
            world.trace.note_bytes(world.now, Kind::EntropyDrawn, number, out.len() as u64, out);
        });
    }

    /// Runs of a host count up, above the numbers that a system's own processes have.
    fn process_id(&self) -> u32 {
        1_000 + self.owner.run
    }

    fn alarm(&self) -> SimAlarm {
        SimAlarm::new(self.universe.clone(), self.owner)
    }

    async fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<SimListener> {
        SimListener::bind(&self.universe, self.owner, address, options)
    }

    async fn connect(&self, address: SocketAddr, options: ConnectOptions) -> io::Result<SimStream> {
        let mut alarm = self.alarm();
        alarm.set(options.timeout.and_then(|limit| self.now().checked_add(limit)));
        let mut connecting = pin!(connect(&self.universe, self.owner, address, options));
        poll_fn(|cx| {
            // The work first: a result that is ready at the deadline counts.
            if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            alarm.poll_fired(cx).map(|()| Err(timed_out()))
        })
        .await
    }

    async fn bind(&self, address: SocketAddr, options: DatagramOptions) -> io::Result<SimSocket> {
        SimSocket::bind(&self.universe, self.owner, address, options)
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = match host {
            "localhost" => vec![IpAddr::from([127, 0, 0, 1])],
            name => self.universe.with(|world| {
                world.alive(self.owner).ok_or_else(dead)?;
                Ok::<_, io::Error>(world.names.get(name).cloned().unwrap_or_default())
            })?,
        };
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<SimFile> {
        SimFile::open(&self.universe, self.owner, path, options).await
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        match self.names(Request::ReadDirectory(path.to_owned())).await? {
            Value::Paths(paths) => Ok(paths),
            _ => Err(dead()),
        }
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.names(Request::CreateDirectories(path.to_owned())).await.map(|_| ())
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names(Request::Rename(from.to_owned(), to.to_owned())).await.map(|_| ())
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.names(Request::Remove(path.to_owned())).await.map(|_| ())
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.names(Request::SyncDirectory(path.to_owned())).await.map(|_| ())
    }
}
