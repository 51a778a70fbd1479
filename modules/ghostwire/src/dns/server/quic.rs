//! DNS over QUIC (RFC 9250): one stream for each question.

use super::super::handler::{Handler, QueryInfo, Transport};
use super::super::quic_code;
use super::{Open, Shared, ask, encode};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shroud_dns::frame::framed;
use shroud_dns::request::MAX_REQUEST;
use shroud_dns::{Received, receive};
use shroud_quic::{
    Connecting, Connection, Endpoint, ReadError, RecvStream, SendStream, ServerConfig,
    Transport as Parameters, VarInt, Waiting,
};
use shroud_runtime::{Class, Runtime, RuntimeExt};
use shroud_rustls::rustls;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Questions that a client may have open on a connection: their streams are its credit.
const STREAMS: u32 = 64;

/// How long the peers may take to hear that the server has gone.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a QUIC endpoint for DNS allows: 64 questions at a time, requests of no more than they need, no streams of one direction,
/// no datagrams, 30 s of silence. `tls` must offer the protocol `doq` (ALPN).
#[must_use]
pub fn quic_config(tls: Arc<rustls::ServerConfig>) -> ServerConfig {
    let transport = Parameters {
        bidirectional_streams: STREAMS,
        unidirectional_streams: 0,
        stream_window: 8 * 1024,
        connection_window: 512 * 1024,
        send_window: 1024 * 1024,
        datagram_receive_buffer: None,
        ..Parameters::default()
    };
    ServerConfig { transport, ..ServerConfig::new(tls) }
}

pub(super) async fn run<R: Runtime, H: Handler>(runtime: R, endpoint: Endpoint<R>, shared: Arc<Shared<H>>) {
    let open = Open::default();
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    loop {
        let next = {
            let mut accept = pin!(endpoint.accept());
            poll_fn(|cx| match Pin::new(&mut stopped).poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => accept.as_mut().poll(cx),
            })
            .await
        };
        let Some(connecting) = next else { break };
        let Some(place) = open.enter(shared.limits.connections) else {
            // Dropping it closes it.
            shared.metrics.count_connection_refused();
            continue;
        };
        shared.metrics.count_connection();
        let (inner, shared) = (runtime.clone(), Arc::clone(&shared));
        let task = async move {
            converse(&inner, connecting, &shared).await;
            drop(place);
        };
        runtime.spawn_in(Class::Dns, "dns-quic-connection", task).detach();
    }
    endpoint.stop_accepting();
    let _ = runtime.timeout(shared.limits.drain_time, open.idle()).await;
    endpoint.close(quic_code::NO_ERROR, b"");
    let _ = runtime.timeout(GOODBYE, endpoint.wait_idle()).await;
}

async fn converse<R: Runtime, H: Handler>(runtime: &R, connecting: Connecting, shared: &Shared<H>) {
    let Ok(connection) = connecting.await else { return };
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    let mut waiting = Waiting::default();
    let mut work = FuturesUnordered::new();
    let mut open = true;
    let ended = poll_fn(|cx| {
        if open && Pin::new(&mut stopped).poll(cx).is_ready() {
            open = false;
        }
        loop {
            while let Poll::Ready(Some(outcome)) = work.poll_next_unpin(cx) {
                if let Err(code) = outcome {
                    return Poll::Ready(code);
                }
            }
            if !open && work.is_empty() {
                return Poll::Ready(quic_code::NO_ERROR);
            }
            if !open || work.len() >= shared.limits.in_work {
                return Poll::Pending;
            }
            match connection.poll_accept_bi(cx, &mut waiting) {
                Poll::Ready(Ok((send, receive))) => {
                    work.push(question(runtime, &connection, send, receive, shared));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(quic_code::NO_ERROR),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    drop(work);
    connection.close(ended, b"");
}

/// One question and its answer. An error ends the connection.
async fn question<R: Runtime, H: Handler>(
    runtime: &R,
    connection: &Connection,
    mut send: SendStream,
    mut receive_stream: RecvStream,
    shared: &Shared<H>,
) -> Result<(), VarInt> {
    let limit = MAX_REQUEST + 2;
    let read = runtime.timeout(shared.limits.request_time, receive_stream.read_to_end(limit)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(ReadError::TooLong(_))) => return Err(quic_code::PROTOCOL_ERROR),
        // Taken back by the client, or the connection is gone.
        Ok(Err(_)) => return Ok(()),
        Err(_) => {
            shared.metrics.count_timed_out();
            receive_stream.stop(quic_code::EXCESSIVE_LOAD);
            send.reset(quic_code::EXCESSIVE_LOAD);
            return Ok(());
        }
    };
    // One message, whole, with the id 0 (RFC 9250, 4.2.1).
    let Some((length, message)) = bytes.split_first_chunk::<2>() else {
        return Err(quic_code::PROTOCOL_ERROR);
    };
    if usize::from(u16::from_be_bytes(*length)) != message.len() || !message.starts_with(&[0, 0]) {
        return Err(quic_code::PROTOCOL_ERROR);
    }
    let answer = match receive(message) {
        Received::Question(request) => {
            if request.edns.is_some_and(|edns| edns.keepalive) {
                return Err(quic_code::PROTOCOL_ERROR);
            }
            let info = QueryInfo { peer: Some(connection.remote_address()), transport: Transport::Quic };
            let response = ask(runtime, shared, &request, &info).await;
            encode(shared, &response, &request, Transport::Quic)
        }
        Received::Refused(answer) => {
            shared.metrics.count_refused();
            answer
        }
        _ => {
            shared.metrics.count_ignored();
            return Err(quic_code::PROTOCOL_ERROR);
        }
    };
    let Some(answer) = framed(&answer) else { return Err(quic_code::INTERNAL_ERROR) };
    // The answer is in work until the client has it, so that a drain waits for that.
    let deliver = async {
        if send.write_all(&answer).await.is_ok() && send.finish().is_ok() {
            let _ = send.stopped().await;
        }
    };
    if runtime.timeout(shared.limits.write_time, deliver).await.is_err() {
        shared.metrics.count_timed_out();
    }
    Ok(())
}
