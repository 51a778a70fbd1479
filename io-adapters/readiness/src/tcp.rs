//! TCP sockets, made and configured here, waited for by an adapter.

use rustix::net::SocketFlags;
use shroud_runtime::{ConnectOptions, ListenOptions};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// A non-blocking listening socket. Accepted connections inherit `TCP_NODELAY` and `TCP_NOTSENT_LOWAT` from it.
///
/// # Errors
/// As `socket(2)`, `setsockopt(2)`, `bind(2)` and `listen(2)`.
pub fn listen(address: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restarted node may bind although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_tcp_nodelay(options.nodelay)?;
    limit_unsent(&socket, options.unsent_bytes)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Where a kernel does not know the option, writes wait later: that is no reason to refuse to work.
fn limit_unsent(socket: &Socket, bytes: u32) -> io::Result<()> {
    match socket.set_tcp_notsent_lowat(bytes) {
        Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => Err(error),
        _ => Ok(()),
    }
}

/// Takes the next connection, non-blocking, or says `WouldBlock`. Connections that were reset before they could be
/// accepted are passed over.
///
/// # Errors
/// As `accept(2)`.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                let peer = peer
                    .and_then(|peer| SocketAddr::try_from(peer).ok())
                    .ok_or_else(|| io::Error::other("accept(2) gave no internet address"))?;
                return Ok((socket.into(), peer));
            }
            Err(error) if is_passing(error.raw_os_error()) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether an accept failed for one connection only, so that the next one may be tried at once.
#[must_use]
pub fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::ECONNABORTED | libc::EINTR)
}

/// A non-blocking socket with a connection attempt under way. It is writable when the attempt has ended;
/// [`finish_connect`] then says how.
///
/// # Errors
/// As `socket(2)`, `setsockopt(2)`, `bind(2)` and `connect(2)`.
pub fn start_connect(address: SocketAddr, options: ConnectOptions) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(options.nodelay)?;
    limit_unsent(&socket, options.unsent_bytes)?;
    if let Some(local) = options.local {
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(local))?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// How a connection attempt ended.
///
/// # Errors
/// What `connect(2)` reports for a blocking socket, e.g. `ConnectionRefused`.
pub fn finish_connect(stream: &impl AsFd) -> io::Result<()> {
    match SockRef::from(stream).take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Has the close of this socket reset the connection and drop what was not sent.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn reset_on_close(stream: &impl AsFd) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Shuts the write side. A connection that is already gone counts as shut.
///
/// # Errors
/// As `shutdown(2)`.
pub fn shut_write(stream: &impl AsFd) -> io::Result<()> {
    match SockRef::from(stream).shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// Switches Nagle's algorithm off (`true`) or on.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn set_nodelay(stream: &impl AsFd, on: bool) -> io::Result<()> {
    SockRef::from(stream).set_tcp_nodelay(on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn accepted_connections_inherit_options_and_do_not_block() {
        for (nodelay, unsent_bytes) in [(true, 4096), (false, 1 << 20)] {
            let options = ListenOptions { nodelay, unsent_bytes, ..ListenOptions::default() };
            let listener = listen(loopback(), options).unwrap();
            assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut accepted, peer) = accept(&listener).unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert_eq!(accepted.nodelay().unwrap(), nodelay);
            assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), unsent_bytes);
            assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn two_listeners_share_a_port_only_when_both_ask() {
        let first = listen(loopback(), ListenOptions::default()).unwrap();
        let address = first.local_addr().unwrap();
        listen(address, ListenOptions::default()).unwrap();
        let alone = ListenOptions { reuse_port: false, ..ListenOptions::default() };
        assert_eq!(listen(address, alone).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
