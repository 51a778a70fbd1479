//! The client of all measurements: this house's, on Tokio.

use crate::serve::Job;
use crate::tls::{Identity, NAME};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use shroud_h3::h3;
use shroud_quic::{ClientConfig, Connection, Endpoint, EndpointConfig, Transport, VarInt};
use shroud_runtime::Runtime;
use std::net::SocketAddr;

/// Handshakes under way.
const LANES: usize = 8;
const PIECE: usize = 64 * 1024;

pub async fn run<R: Runtime>(runtime: R, identity: Identity, server: SocketAddr, job: Job) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = Endpoint::client(&runtime, any, &EndpointConfig::default()).await.unwrap();
    let resumes = matches!(job, Job::Handshakes { resumed: true, .. });
    let config = ClientConfig::new(identity.client(resumes), &Transport::default()).unwrap();
    let connect = || async { endpoint.connect(&config, server, NAME).unwrap().await.unwrap() };
    match job {
        Job::Handshakes { count, resumed } => {
            join_all((0..LANES).map(|_| async {
                for _ in 0..count / LANES {
                    let connection = connect().await;
                    if resumed {
                        // The tickets come after the handshake.
                        let _ = connection.accept_uni().await.unwrap().read_to_end(10).await;
                    }
                    connection.close(VarInt::from_u32(0), b"");
                }
            }))
            .await;
        }
        Job::Bulk { bytes, streams, up } => {
            let connection = connect().await;
            let (connection, share) = (&connection, bytes / streams);
            join_all((0..streams).map(|_| bulk(connection, share, up))).await;
            connection.close(VarInt::from_u32(0), b"");
        }
        Job::Requests { count, connections, depth } => {
            let share = count / connections;
            join_all(
                (0..connections).map(|_| async { requests(connect().await, server, share, depth).await }),
            )
            .await;
        }
    }
    endpoint.wait_idle().await;
}

async fn bulk(connection: &Connection, bytes: usize, up: bool) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let piece = Bytes::from(vec![7; PIECE]);
    send.write_all(&(if up { 0 } else { bytes as u64 }).to_be_bytes()).await.unwrap();
    let mut left = if up { bytes } else { 0 };
    while left > 0 {
        let next = piece.slice(..left.min(PIECE));
        left -= next.len();
        send.write_chunk(next).await.unwrap();
    }
    send.finish().unwrap();
    while receive.read_chunk(usize::MAX).await.unwrap().is_some() {}
}

async fn requests(connection: Connection, server: SocketAddr, count: usize, depth: usize) {
    let binding = shroud_h3::Connection::new(connection, 1 << 16);
    let (mut driver, sender) =
        h3::client::builder().send_grease(false).build::<_, _, Bytes>(binding).await.unwrap();
    let one = || {
        let mut sender = sender.clone();
        async move {
            let uri = format!("https://{NAME}:{}/", server.port());
            let mut stream = sender.send_request(http::Request::get(uri).body(()).unwrap()).await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(stream.recv_response().await.unwrap().status(), 200);
            while stream.recv_data().await.unwrap().is_some() {}
        }
    };
    let work = async {
        let mut under_way: FuturesUnordered<_> = (0..depth).map(|_| one()).collect();
        let mut begun = depth;
        while under_way.next().await.is_some() {
            if begun < count {
                begun += 1;
                under_way.push(one());
            }
        }
    };
    let drive = async { driver.wait_idle().await };
    futures_util::future::select(Box::pin(work), Box::pin(drive)).await;
}
