//! Connections from balancers that say whose they are (the PROXY protocol).

use super::super::network::Network;
use futures_io::AsyncRead;
use shroud_wire::proxy_protocol::{Addresses, HeaderError, MAX_V2, Parsed, parse};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// Why a connection is closed before its first byte was looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unintroduced {
    #[error("it is from no balancer that connections are taken from")]
    Stranger,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("it ended inside of its PROXY header")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header of a connection from `peer`, and no byte more, so that the stream can be handed on as it is.
///
/// Cancel safety: what was read is lost.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    peer: SocketAddr,
    from: &[Network],
) -> Result<Option<Addresses>, Unintroduced> {
    if !from.iter().any(|network| network.contains(peer.ip())) {
        return Err(Unintroduced::Stranger);
    }
    let mut header = Vec::with_capacity(64);
    loop {
        let more = match parse(&header)? {
            Parsed::Complete { addresses, length } => {
                debug_assert_eq!(length, header.len(), "no more was read than a header needs");
                return Ok(addresses);
            }
            Parsed::Incomplete(more) => more.min(MAX_V2),
        };
        let start = header.len();
        header.resize(start.saturating_add(more), 0);
        let target = header.get_mut(start..).unwrap_or_default();
        let count = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, target)).await?;
        if count == 0 {
            return Err(Unintroduced::Ended);
        }
        header.truncate(start.saturating_add(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use proptest::prelude::*;
    use shroud_wire::proxy_protocol::{Version, encode};
    use std::task::{Context, Poll};

    /// Gives what it has in pieces of a size.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            target: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let count = self.0.len().min(self.1).min(target.len());
            let (now, later) = self.0.split_at(count);
            target[..count].copy_from_slice(now);
            self.0 = later;
            Poll::Ready(Ok(count))
        }
    }

    proptest! {
        #[test]
        fn what_follows_stays_in_the_stream(a: SocketAddr, b: SocketAddr, piece in 1..40_usize, rest: Vec<u8>, old: bool) {
            let addresses = Addresses::new(a, b);
            let mut bytes = encode(if old { Version::V1 } else { Version::V2 }, Some(&addresses));
            bytes.extend_from_slice(&rest);
            let mut stream = Pieces(&bytes, piece);
            let peer = SocketAddr::from(([10, 0, 0, 1], 1));
            let from = ["10.0.0.0/8".parse().unwrap()];
            let found = block_on(read(&mut stream, peer, &from)).unwrap();
            prop_assert_eq!(found, Some(Addresses::new(addresses.source(), addresses.destination())));
            prop_assert_eq!(stream.0, rest);
        }
    }

    #[test]
    fn strangers_and_broken_ones() {
        let peer = SocketAddr::from(([11, 0, 0, 1], 1));
        let (from, all) = (["10.0.0.0/8".parse().unwrap()], ["0.0.0.0/0".parse().unwrap()]);
        let read = |bytes: &[u8], from: &[Network]| block_on(read(&mut Pieces(bytes, 9), peer, from));
        let header = b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n";
        assert!(matches!(read(header, &from), Err(Unintroduced::Stranger)));
        assert!(read(header, &all).unwrap().is_some());
        assert!(matches!(read(&header[..20], &all), Err(Unintroduced::Ended)));
        assert!(matches!(
            read(b"GET / HTTP/1.1\r\n\r\n", &all),
            Err(Unintroduced::Header(HeaderError::Absent))
        ));
    }
}
