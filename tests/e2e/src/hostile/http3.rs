//! HTTP/3.

use super::harness::{InPlace, breathe, bystander, settled, withstand};
use super::http1::impatient;
use super::stage::{Place, at};
use crate::http3::{Client, Served, routes, serve};
use crate::quic::support::{NAME, local};
use crate::quic_hostile::tamper::integer;
use bytes::Bytes;
use shroud::ghostwire::http::Body;
use shroud::ghostwire::http::{Handler, Request, Response};
use shroud::runtime::{Runtime, RuntimeExt};
use shroud_quic::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, VarInt};
use std::time::Duration;

/// Connections, one after the other, that each do the worst they can.
const ROUNDS: usize = 4;

/// A GET of `/hello`: from QPACK's static table, with the authority and path as literals (RFC 9204, 4.5).
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0x51];
    block.push(path.len() as u8);
    block.extend(path.as_bytes());
    [vec![1], integer(block.len() as u64), block].concat()
}

/// `/large` is 4 MiB that all answers share; the rest as elsewhere.
struct Large<H>(H, Bytes);

impl<H: Handler> Handler for Large<H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().path() == "/large" {
            Response::new(self.1.clone().into())
        } else {
            self.0.handle(request).await
        }
    }
}

async fn served<R: Runtime>(runtime: &R) -> (Served, InPlace<Client<R>>) {
    let handler = Large(routes(), Bytes::from(vec![b'x'; 4 << 20]));
    let serve = move |runtime| async move { serve(&runtime, handler, impatient()).await };
    let served = at(runtime, Place::Server, serve).await;
    let (config, address) = (served.config(), served.address);
    let client = move |runtime| async move { Client::new(&runtime, config, address).await };
    (served, bystander(runtime, client).await)
}

/// The attacker's: one for all its connections, since each has buffers for what it receives.
async fn attacker<R: Runtime>(runtime: &R) -> Endpoint<R> {
    Endpoint::client(runtime, local(), &EndpointConfig::default()).await.unwrap()
}

/// A connection that has said hello, and holds its control stream.
async fn connect<R: Runtime>(attacker: &Endpoint<R>, served: &Served) -> (Connection, SendStream) {
    let connection = attacker.connect(&served.config(), served.address, NAME).unwrap().await.unwrap();
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    (connection, control)
}

/// Waits until only the bystander is left.
async fn settle(runtime: &impl Runtime, served: &Served) {
    while served.metrics.connections() > 1 {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    settled(runtime);
}

/// A request on a stream of its own; `None` when the connection is gone.
async fn ask(connection: &Connection, bytes: &[u8]) -> Option<(SendStream, RecvStream)> {
    let (mut send, receive) = connection.open_bi().await.ok()?;
    send.write_all(bytes).await.ok()?;
    Some((send, receive))
}

/// Requests that are reset or stopped as soon as they are there.
pub async fn torn_requests<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    let attacker = attacker(&runtime).await;
    for (name, resets) in [("requests that are reset", true), ("answers that are stopped", false)] {
        let flood = || async {
            for _ in 0..ROUNDS {
                let (connection, _control) = connect(&attacker, &served).await;
                for round in 0..1000 {
                    let Some((mut send, mut receive)) = ask(&connection, &get("/large")).await else { break };
                    if resets {
                        send.reset(VarInt::from_u32(0x10c));
                    } else {
                        let _ = send.finish();
                    }
                    receive.stop(VarInt::from_u32(0x10c));
                    if round % 50 == 0 {
                        breathe(&runtime).await;
                    }
                }
                connection.close(VarInt::from_u32(0x100), b"");
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settle(&runtime, &served).await;
    }
}

/// Field sections that say little and mean much, that are too long, or wait for a table that does not come.
pub async fn field_sections<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    let attacker = attacker(&runtime).await;
    // Sixteen thousand times a field of the static table, in a byte each.
    let mut bomb = vec![0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1];
    bomb.extend([0xc0 | 29; 16_000]);
    let bomb = [vec![1], integer(bomb.len() as u64), bomb].concat();
    // A table that the server has said it does not keep (RFC 9204, 2.1.2).
    let waiting = vec![1, 3, 0x10, 0, 0x80];
    // As long as a frame may just be.
    let long = [vec![1], integer(33_000), vec![0; 33_000]].concat();
    for (name, section) in
        [("QPACK bombs", bomb), ("sections that wait for a table", waiting), ("long sections", long)]
    {
        let flood = || async {
            for _ in 0..ROUNDS {
                let (connection, _control) = connect(&attacker, &served).await;
                let mut held = Vec::new();
                for _ in 0..80 {
                    let Some(mut streams) = ask(&connection, &section).await else { break };
                    let _ = streams.0.finish();
                    held.push(streams);
                }
                breathe(&runtime).await;
                connection.close(VarInt::from_u32(0x100), b"");
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settle(&runtime, &served).await;
    }
}

/// Half a header, a body that does not come, answers that nobody takes: on all streams of many connections.
pub async fn http3_slowloris<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    let attacker = attacker(&runtime).await;
    let post = {
        // As `get`, with POST.
        let mut bytes = get("/echo");
        bytes[4] = 0xd4;
        bytes
    };
    for (name, bytes, takes) in [
        ("half a field section", vec![1, 0x40, 100, 0], true),
        ("bodies that do not come", post, true),
        ("answers that nobody takes", get("/large"), false),
    ] {
        let flood = || async {
            for _ in 0..ROUNDS {
                let (connection, _control) = connect(&attacker, &served).await;
                let mut held = Vec::new();
                for _ in 0..90 {
                    let Some(mut streams) = ask(&connection, &bytes).await else { break };
                    if !takes {
                        let _ = streams.0.finish();
                    }
                    held.push(streams);
                }
                if takes {
                    // Each request is given up, or answered 408, in its time.
                    for (_, receive) in &mut held {
                        while let Ok(Some(_)) = receive.read_chunk(usize::MAX).await {}
                    }
                    connection.close(VarInt::from_u32(0x100), b"");
                } else {
                    // The server ends the connection.
                    connection.closed().await;
                }
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settle(&runtime, &served).await;
    }
}

/// Unidirectional streams of unknown kinds, frames of unknown kinds, MAX_PUSH_ID and GOAWAY without end.
pub async fn streams_of_all_kinds<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    let attacker = attacker(&runtime).await;
    let unknown = || async {
        for _ in 0..ROUNDS {
            let (connection, _control) = connect(&attacker, &served).await;
            for round in 0..1000_u64 {
                let Ok(mut send) = connection.open_uni().await else { break };
                // RFC 9114, 6.2.3; every third without a word.
                if round % 3 != 0 {
                    let _ = send.write_all(&integer(0x1f * (round % 100) + 0x21)).await;
                }
                let _ = send.finish();
            }
            connection.close(VarInt::from_u32(0x100), b"");
        }
    };
    withstand(&runtime, "streams of unknown kinds", &mut bystander, unknown).await;
    settle(&runtime, &served).await;
    for (name, frame) in [
        ("unknown frames", [integer(0x21), integer(100), vec![0; 100]].concat()),
        ("MAX_PUSH_ID", vec![0x0d, 1, 5]),
        ("GOAWAY", vec![0x07, 1, 0]),
        ("empty unknown frames", vec![0x21, 0]),
    ] {
        let flood = || async {
            for _ in 0..ROUNDS / 2 {
                let (connection, mut control) = connect(&attacker, &served).await;
                let burst = frame.repeat(500);
                for _ in 0..50 {
                    if control.write_all(&burst).await.is_err() {
                        break;
                    }
                    breathe(&runtime).await;
                }
                connection.close(VarInt::from_u32(0x100), b"");
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settle(&runtime, &served).await;
    }
}
