//! Datagrams through quinn-udp, which knows the control messages of the kernel.

use quinn_udp::{EcnCodepoint, UdpSockRef, UdpSocketState};
use shroud_runtime::net::MAX_BATCH;
use shroud_runtime::{DatagramCapabilities, DatagramOptions, Ecn, RecvMeta, Transmit};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::array;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

/// What goes with a UDP socket: what the kernel can do on it, and how to ask.
#[derive(Debug)]
pub struct UdpState {
    state: UdpSocketState,
    /// What the kernel promised when the socket was bound; segmentation can still turn out not to work.
    bound: DatagramCapabilities,
}

/// Binds a non-blocking UDP socket and switches on what the kernel has: coalescing, congestion marks, destination
/// addresses, don't-fragment.
///
/// # Errors
/// As `socket(2)`, `setsockopt(2)` and `bind(2)`.
pub fn bind(address: SocketAddr, options: DatagramOptions) -> io::Result<(UdpSocket, UdpState)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&SockAddr::from(address))?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    switch_timestamps_off(&socket)?;
    let bound = DatagramCapabilities {
        send_segments: state.max_gso_segments(),
        receive_segments: state.gro_segments(),
        ecn: reports_ecn(&socket, address),
        may_fragment: state.may_fragment(),
    };
    Ok((socket.into(), UdpState { state, bound }))
}

/// What a UDP socket can do on this machine, tried on one.
///
/// # Errors
/// As [`bind`].
pub fn probe() -> io::Result<DatagramCapabilities> {
    let (_, state) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), DatagramOptions::default())?;
    Ok(state.capabilities())
}

/// quinn-udp 0.6.3 asks for receive timestamps, and its control buffer of 96 bytes then has no room for the congestion
/// mark of coalesced datagrams: the kernel cuts it off. Nothing here reads timestamps.
fn switch_timestamps_off(socket: &Socket) -> io::Result<()> {
    let off: libc::c_int = 0;
    // SAFETY: the value is one C int that lives across the call, and the length is its size.
    #[allow(unsafe_code, reason = "neither socket2 nor rustix has this option")]
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const off).cast(),
            size_of_val(&off) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// quinn-udp asks for congestion marks and does not say when the kernel refused.
fn reports_ecn(socket: &Socket, address: SocketAddr) -> bool {
    match address {
        SocketAddr::V4(_) => SockRef::from(socket).recv_tos_v4().unwrap_or(false),
        SocketAddr::V6(_) => SockRef::from(socket).recv_tclass_v6().unwrap_or(false),
    }
}

impl UdpState {
    /// What the socket can do now.
    #[must_use]
    pub fn capabilities(&self) -> DatagramCapabilities {
        DatagramCapabilities { send_segments: self.state.max_gso_segments(), ..self.bound }
    }

    /// Hands transmits to the kernel in order until it would block, and says how many it took.
    ///
    /// # Errors
    /// `WouldBlock` when it took none. Otherwise the error of the first transmit, as `sendmsg(2)`; an error of a later
    /// one is reported when that one is offered again.
    pub fn try_send(&self, socket: &impl AsFd, transmits: &[Transmit<'_>]) -> io::Result<usize> {
        for (index, transmit) in transmits.iter().enumerate() {
            match self.send_one(socket, transmit) {
                Ok(()) => {}
                Err(error) if index == 0 => return Err(error),
                Err(_) => return Ok(index),
            }
        }
        Ok(transmits.len())
    }

    fn send_one(&self, socket: &impl AsFd, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment_size = check_train(transmit, self.bound.send_segments)?;
        if segment_size.is_some() && self.state.max_gso_segments() == 1 {
            return self.send_segments(socket, transmit);
        }
        match self.hand_over(socket, transmit, transmit.contents, segment_size) {
            // A device that cannot segment shows it at the first train; quinn-udp has noticed too.
            Err(error) if segment_size.is_some() && self.state.max_gso_segments() == 1 => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    return Err(error);
                }
                self.send_segments(socket, transmit)
            }
            result => result,
        }
    }

    /// Sends a train one datagram at a time, for a device that cannot segment. When the kernel would block after the
    /// first, the rest is lost, as on any full queue on its way.
    fn send_segments(&self, socket: &impl AsFd, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for (index, segment) in transmit.contents.chunks(size).enumerate() {
            match self.hand_over(socket, transmit, segment, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && index > 0 => return Ok(()),
                result => result?,
            }
        }
        Ok(())
    }

    fn hand_over(
        &self,
        socket: &impl AsFd,
        transmit: &Transmit<'_>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        self.state.try_send(
            UdpSockRef::from(socket),
            &quinn_udp::Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn.and_then(to_codepoint),
                contents,
                segment_size,
                src_ip: transmit.source,
            },
        )
    }

    /// Receives what is there into `buffers`, at most [`MAX_BATCH`] and at most as many as there are `meta`, and says
    /// how many were filled.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise as `recvmmsg(2)`.
    pub fn try_recv(
        &self,
        socket: &impl AsFd,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        match buffers.len().min(meta.len()) {
            0 => Ok(0),
            1 => self.recv_up_to::<1>(socket, buffers, meta),
            _ => self.recv_up_to::<MAX_BATCH>(socket, buffers, meta),
        }
    }

    fn recv_up_to<const N: usize>(
        &self,
        socket: &impl AsFd,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let mut received: [quinn_udp::RecvMeta; N] = array::from_fn(|_| quinn_udp::RecvMeta::default());
        let count = buffers.len().min(meta.len()).min(N);
        let count = self.state.recv(UdpSockRef::from(socket), &mut buffers[..count], &mut received)?;
        for (meta, received) in meta.iter_mut().zip(&received[..count]) {
            *meta = RecvMeta {
                source: received.addr,
                len: received.len,
                stride: received.stride,
                ecn: received.ecn.map(from_codepoint),
                destination: received.dst_ip,
            };
        }
        Ok(count)
    }
}

/// The segment size when `transmit` is a train of more than one datagram. One that the kernel must refuse is refused
/// here: quinn-udp would take the kernel's refusal for a device that cannot segment, for good.
fn check_train(transmit: &Transmit<'_>, limit: usize) -> io::Result<Option<usize>> {
    let Some(size) = transmit.segment_size.filter(|size| *size < transmit.contents.len()) else {
        return Ok(None);
    };
    if size == 0 || transmit.contents.len().div_ceil(size) > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a train of {} bytes in segments of {size} is beyond the limit of {limit} segments",
                transmit.contents.len()
            ),
        ));
    }
    if transmit.contents.len() > usize::from(u16::MAX) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(Some(size))
}

fn to_codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
        _ => None,
    }
}

fn from_codepoint(codepoint: EcnCodepoint) -> Ecn {
    match codepoint {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpState) {
        bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), DatagramOptions::default()).unwrap()
    }

    fn train(destination: SocketAddr, contents: &[u8], size: usize) -> Transmit<'_> {
        Transmit { destination, ecn: Some(Ecn::Ce), contents, segment_size: Some(size), source: None }
    }

    /// Everything that is there, cut into datagrams.
    fn drain(socket: &UdpSocket, state: &UdpState) -> Vec<(usize, Option<Ecn>)> {
        let mut storage = vec![vec![0; 65_536]; 4];
        let mut buffers: Vec<_> = storage.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let mut meta = vec![RecvMeta::empty(); 3];
        let mut out = Vec::new();
        while let Ok(count) = state.try_recv(socket, &mut buffers, &mut meta) {
            assert!((1..=3).contains(&count));
            for meta in &meta[..count] {
                let whole = meta.len / meta.stride;
                out.extend(std::iter::repeat_n((meta.stride, meta.ecn), whole));
                out.extend(Some((meta.len % meta.stride, meta.ecn)).filter(|(rest, _)| *rest > 0));
            }
        }
        out
    }

    #[test]
    fn trains_arrive_as_segments_with_their_marks() {
        let (sender, state) = pair();
        let (receiver, receiving) = pair();
        let to = receiver.local_addr().unwrap();
        let limit = state.capabilities().send_segments;
        assert!(state.capabilities().ecn);
        if limit < 4 {
            eprintln!("skipped: this kernel does not segment");
            return;
        }
        let contents = vec![5; 3 * 1000 + 1];
        assert_eq!(state.try_send(&sender, &[train(to, &contents, 1000)]).unwrap(), 1);
        let expected = [1000, 1000, 1000, 1].map(|len| (len, Some(Ecn::Ce)));
        assert_eq!(drain(&receiver, &receiving), expected);
        // The same, for a device that cannot segment.
        state.send_segments(&sender, &train(to, &contents, 1000)).unwrap();
        assert_eq!(drain(&receiver, &receiving), expected);
    }

    #[test]
    fn a_train_beyond_the_limit_is_refused_and_segmentation_stays_on() {
        let (sender, state) = pair();
        let to = sender.local_addr().unwrap();
        let before = state.capabilities();
        for (length, size) in [(before.send_segments * 10 + 1, 10), (20, 0)] {
            let contents = vec![0; length];
            let error = state.try_send(&sender, &[train(to, &contents, size)]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let oversized = vec![0; 70_000];
        assert!(state.try_send(&sender, &[train(to, &oversized, 1_400)]).is_err());
        assert_eq!(state.capabilities(), before);
        assert_eq!(drain(&sender, &state), []);
    }

    #[test]
    fn an_error_of_a_later_transmit_does_not_hide_what_was_sent() {
        let (sender, state) = pair();
        let to = sender.local_addr().unwrap();
        let contents = [1; 10];
        let good = train(to, &contents, 10);
        let bad = train(to, &contents, 0);
        assert_eq!(state.try_send(&sender, &[good, good, bad]).unwrap(), 2);
        assert!(state.try_send(&sender, &[bad]).is_err());
        assert_eq!(drain(&sender, &state).len(), 2);
        assert_eq!(state.try_send(&sender, &[]).unwrap(), 0);
    }
}
