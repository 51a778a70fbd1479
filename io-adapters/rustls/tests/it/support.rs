use futures_lite::{AsyncRead, AsyncWrite};
use futures_util::future::join;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use shroud_rustls::{
    Certificate, Certificates, ClientOptions, DevCertificate, DevKey, Failed, HandshakeError, ServerOptions,
    TlsStream, Trust, accept, alpn, connect, provider, rustls,
};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// When all tests take place.
pub(crate) const NOW: Duration = Duration::from_secs(1_800_000_000);

#[derive(Debug)]
pub(crate) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(NOW))
    }
}

/// How bytes travel.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    /// The most that one read or write moves, in turn.
    pub(crate) pieces: Vec<usize>,
    /// Bytes under way, at most.
    pub(crate) room: usize,
}

impl Default for Pipe {
    fn default() -> Self {
        Self { pieces: vec![usize::MAX], room: 256 * 1024 }
    }
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) closed: bool,
    /// Everything that was ever written.
    pub(crate) log: Vec<u8>,
    /// Calls that wrote something.
    pub(crate) writes: usize,
    pub(crate) pipe: Pipe,
    turn: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn new(pipe: Pipe) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            bytes: VecDeque::new(),
            closed: false,
            log: Vec::new(),
            writes: 0,
            pipe,
            turn: 0,
            reader: None,
            writer: None,
        }))
    }

    fn piece(&mut self) -> usize {
        self.turn += 1;
        self.pipe.pieces[self.turn % self.pipe.pieces.len()].max(1)
    }

    pub(crate) fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }
}

/// One end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) input: Arc<Mutex<Wire>>,
    pub(crate) output: Arc<Mutex<Wire>>,
}

impl Drop for End {
    fn drop(&mut self) {
        for wire in [&self.input, &self.output] {
            let mut wire = wire.lock().unwrap();
            wire.closed = true;
            wire.wake();
        }
    }
}

pub(crate) fn ends(pipe: Pipe) -> (End, End) {
    let (there, back) = (Wire::new(pipe.clone()), Wire::new(pipe));
    let left = End { input: Arc::clone(&back), output: Arc::clone(&there) };
    (left, End { input: there, output: back })
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.input.lock().unwrap();
        let count = wire.piece().min(out.len()).min(wire.bytes.len());
        if count == 0 {
            if wire.closed {
                return Poll::Ready(Ok(0));
            }
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        out.iter_mut().zip(wire.bytes.drain(..count)).for_each(|(to, from)| *to = from);
        wire.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.output.lock().unwrap();
        if wire.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = wire.pipe.room.saturating_sub(wire.bytes.len());
        let most = wire.piece().min(room);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
        if bytes.is_empty() {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.writes += 1;
        wire.log.extend_from_slice(&bytes);
        wire.bytes.extend(&bytes);
        wire.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.output.lock().unwrap();
        wire.closed = true;
        wire.wake();
        Poll::Ready(Ok(()))
    }
}

pub(crate) struct Dev {
    pub(crate) pem: String,
    pub(crate) key: String,
}

/// A certificate for localhost and `names`, the same for the same seed.
pub(crate) fn dev(seed: u8, names: &[&str]) -> Dev {
    let dev = DevCertificate::generate(DevKey::Ed25519, names, NOW, |out| out.fill(seed)).unwrap();
    Dev { pem: dev.certificate_pem, key: dev.key_pem.to_string() }
}

impl Dev {
    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.pem.as_bytes(), self.key.as_bytes(), NOW, &provider()).unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::from_pem(self.pem.as_bytes()).unwrap()
    }
}

pub(crate) fn server_with(certificates: Vec<Certificate>) -> ServerOptions {
    let certificates = Certificates::new(certificates).unwrap();
    ServerOptions::new(provider(), Arc::new(Clock), certificates).protocols(&[alpn::H2, alpn::HTTP_1_1])
}

pub(crate) fn server() -> ServerOptions {
    server_with(vec![dev(1, &[]).certificate()])
}

pub(crate) fn client_of(trust: Trust) -> ClientOptions {
    ClientOptions::new(provider(), Arc::new(Clock), trust)
}

pub(crate) fn client() -> ClientOptions {
    client_of(dev(1, &[]).trust())
}

pub(crate) type Ends = (Result<TlsStream<End>, Failed<End>>, Result<TlsStream<End>, Failed<End>>);

/// Both sides of a handshake, for `name`: the client's result, then the server's.
pub(crate) async fn shake_for(
    name: &str,
    client: &Arc<rustls::ClientConfig>,
    server: &Arc<rustls::ServerConfig>,
    pipe: Pipe,
) -> Ends {
    let (near, far) = ends(pipe);
    join(connect(near, client, name), accept(far, server)).await
}

pub(crate) async fn shake(client: &ClientOptions, server: &ServerOptions) -> Ends {
    let (client, server) = (Arc::new(client.config().unwrap()), Arc::new(server.config().unwrap()));
    shake_for("localhost", &client, &server, Pipe::default()).await
}

pub(crate) async fn pair(pipe: Pipe) -> (TlsStream<End>, TlsStream<End>) {
    let (client, server) = (Arc::new(client().config().unwrap()), Arc::new(server().config().unwrap()));
    let (client, server) = shake_for("localhost", &client, &server, pipe).await;
    (client.unwrap(), server.unwrap())
}

pub(crate) fn tls_error(result: Result<TlsStream<End>, Failed<End>>) -> rustls::Error {
    match result.map(|_| "a session").unwrap_err().error {
        HandshakeError::Tls(error) => error,
        other => panic!("{other}"),
    }
}
