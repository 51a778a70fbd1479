//! Drives the machine of one question over UDP.

use super::{Answered, ClientError, Settings, Streams, Transport, answered};
use shroud_dns::Question;
use shroud_dns::lookup::{Lookup, Output};
use shroud_runtime::net::{Datagram, DatagramExt, DatagramOptions, RecvMeta};
use shroud_runtime::sync::Semaphore;
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;

/// Source ports are drawn from here up (RFC 6056, 3.2), where few services listen.
const FIRST_PORT: u16 = 16_384;

/// Draws of a source port, before the kernel may choose one.
const PORT_DRAWS: u32 = 8;

/// Bytes to receive at a time: more than was asked for, so that a longer answer is read too, or several that the kernel
/// joined.
const BUFFER: usize = 8 * 1024;

pub(super) async fn ask<R: Runtime>(
    runtime: &R,
    settings: &Settings,
    sockets: &Semaphore,
    servers: &[(SocketAddr, Streams<R>)],
    question: &Question,
) -> Result<Answered, ClientError> {
    let permit = sockets.acquire().await;
    let addresses = servers.iter().map(|(address, _)| *address).collect();
    let mut lookup = Lookup::new(question.clone(), addresses, settings.lookup.clone());
    let mut chance = |out: &mut [u8]| runtime.fill(out);
    lookup.handle_start(runtime.now(), &mut chance);
    let mut socket = None;
    let mut buffer = vec![0; BUFFER];
    let mut alarm = runtime.sleep(settings.lookup.first_wait);
    let (server, why) = loop {
        match lookup.poll_output() {
            Some(Output::Send { server, datagram }) => {
                // The last one closes: what still comes to it is late.
                let fresh = bind(runtime, server).await.map_err(ClientError::Socket)?;
                // A server that cannot be reached now may be at the next try, or the next server is.
                let _ = fresh.send_to(&datagram, server).await;
                socket = Some(fresh);
                if let Some(deadline) = lookup.deadline() {
                    alarm.reset(deadline);
                }
                continue;
            }
            Some(Output::Answered(server, reply)) => {
                let wrong = lookup.wrong_answers();
                return Ok(Answered { wrong, ..answered(*reply, Some(server), Transport::Udp) });
            }
            Some(Output::AskOverStream(server, why)) => break (server, why),
            Some(Output::Unencodable(reason)) => return Err(ClientError::Unencodable(reason)),
            Some(_) => return Err(ClientError::NoAnswer(lookup.wrong_answers())),
            None => {}
        }
        let mut meta = [RecvMeta::empty()];
        let received = poll_fn(|cx| {
            if let Some(socket) = &socket
                && let Poll::Ready(received) =
                    socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta)
            {
                return Poll::Ready(Some(received));
            }
            Pin::new(&mut alarm).poll(cx).map(|()| None)
        })
        .await;
        let now = runtime.now();
        match received {
            None => lookup.handle_timeout(now, &mut chance),
            Some(Ok(_)) => {
                let [meta] = meta;
                let bytes = buffer.get(..meta.len).unwrap_or(&buffer);
                for datagram in bytes.chunks(meta.stride.max(1)) {
                    lookup.handle_datagram(now, meta.source, datagram, &mut chance);
                }
            }
            // As when a port is closed: the next try will tell.
            Some(Err(error)) => {
                tracing::debug!(%error, "receiving a DNS answer failed");
                socket = None;
            }
        }
    };
    drop((socket, permit));
    let streams = servers.iter().find(|(address, _)| *address == server).map(|(_, streams)| streams);
    let streams = streams.ok_or(ClientError::Ended)?;
    let reply = streams.ask(question, settings.options(Transport::Tcp)).await?;
    let wrong = lookup.wrong_answers();
    Ok(Answered { wrong, fell_back: Some(why), ..answered(reply, Some(server), Transport::Tcp) })
}

/// A socket whose port nobody can guess.
async fn bind<R: Runtime>(runtime: &R, server: SocketAddr) -> io::Result<R::Socket> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    for _ in 0..PORT_DRAWS {
        let mut bytes = [0; 4];
        runtime.fill(&mut bytes);
        let range = u32::from(u16::MAX - FIRST_PORT) + 1;
        let port = u32::from_be_bytes(bytes).checked_rem(range).and_then(|draw| u16::try_from(draw).ok());
        let port = FIRST_PORT.saturating_add(port.unwrap_or(0));
        match runtime.bind(SocketAddr::new(any, port), DatagramOptions::default()).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    runtime.bind(SocketAddr::new(any, 0), DatagramOptions::default()).await
}
