//! DNS.

use super::harness::{Bystander, InPlace, breathe, bystander, settled, withstand};
use super::stage::{Place, at};
use crate::dns::{Fake, Served, question, serve, zones};
use crate::dns_hostile::{connect, framed, plain, query};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::dns::{Client, Limits, LookupOptions, QueryOptions, RecordType, Settings};
use shroud::runtime::net::DatagramExt;
use shroud::runtime::{Runtime, RuntimeExt};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections of an attack, and what the server allows.
const CONNECTIONS: usize = 200;

impl<R: Runtime> Bystander for Client<R> {
    async fn ask(&mut self) {
        let answered = Client::ask(self, &question("www", RecordType::A)).await.expect("an answer");
        assert_eq!(answered.reply.message.answers.len(), 1);
    }
}

/// A server with room for one more connection than an attack has, and a bystander of it.
async fn served<R: Runtime>(runtime: &R, tcp: bool) -> (Served, InPlace<Client<R>>) {
    let soon = Duration::from_millis(700);
    let limits = Limits {
        connections: CONNECTIONS + 1,
        request_time: soon,
        write_time: soon,
        idle_time: Duration::from_secs(2),
        ..Limits::default()
    };
    let serve = move |runtime| async move { serve(&runtime, zones(), limits).await };
    let served = at(runtime, Place::Server, serve).await;
    let address = served.address;
    let client = move |runtime: R| async move {
        let lookup = LookupOptions { tries: 20, ..LookupOptions::default() };
        let settings = Settings { lookup, question_time: Duration::from_secs(60), ..Settings::default() };
        match tcp {
            true => Client::tcp(&runtime, address, settings),
            false => Client::udp(&runtime, &[address], settings),
        }
    };
    (served, bystander(runtime, client).await)
}

/// Questions, questions that are none, answers that nobody asked for, and noise.
pub async fn dns_datagrams<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime, false).await;
    let good = query("www", RecordType::A, 9, &plain());
    let mut answer = good.clone();
    answer[2] |= 0x80;
    // A name that is made of pointers to pointers (RFC 1035 4.1.4).
    let mut loops = good.clone();
    loops[11] = 1;
    let end = loops.len();
    (0..200).for_each(|n| loops.extend(((0xc000 + end + 2 * (n + 1)) as u16).to_be_bytes()));
    for (name, datagram) in [
        ("questions", good),
        ("questions with long answers", query("big", RecordType::TXT, 9, &QueryOptions::default())),
        ("answers that nobody asked for", answer),
        ("names of pointers", loops),
        ("noise", vec![0xa5; 1400]),
    ] {
        let flood = || async {
            // The bystander's address is another's.
            let fake = Fake::<R>::at(&runtime, SocketAddr::from(([127, 0, 0, 2], 0))).await;
            for round in 0..10_000 {
                // What comes back is not read; a full buffer may be an error.
                let _ = fake.socket.send_to(&datagram, served.address).await;
                if round % 20 == 0 {
                    breathe(&runtime).await;
                }
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settled(&runtime);
    }
}

/// Connections that say nothing, say half a question, or ask and do not read.
pub async fn dns_streams<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime, true).await;
    let long = framed(&query("big", RecordType::TXT, 3, &plain())).repeat(200);
    let good = framed(&query("www", RecordType::A, 3, &plain()));
    for (name, first, then) in [
        ("silence", &[][..], &[][..]),
        ("half a length", &good[..1], &[]),
        ("half a question", &good[..10], &[]),
        ("a question that trickles", &good[..2], b"\0"),
        ("answers that nobody takes", &[], &long),
    ] {
        let flood = || async {
            let mut clients = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut stream = connect(&runtime, served.address).await;
                let _ = stream.write_all(first).await;
                clients.push(stream);
            }
            // A closed connection takes no more. What is full is tried again later.
            while !clients.is_empty() {
                let mut left = Vec::new();
                for mut stream in clients {
                    let wrote = runtime.timeout(Duration::from_millis(1), stream.write_all(then)).await;
                    if !matches!(wrote, Ok(Err(_))) && !ended::<R>(&runtime, &mut stream, then).await {
                        left.push(stream);
                    }
                }
                clients = left;
                breathe(&runtime).await;
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settled(&runtime);
    }
}

/// Whether the server has closed a connection that wants no answers.
async fn ended<R: Runtime>(runtime: &R, stream: &mut R::Stream, then: &[u8]) -> bool {
    if then.len() > 1 {
        return false;
    }
    let read = runtime.timeout(Duration::from_micros(100), stream.read(&mut [0; 64])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// Up to the limit, and three times as many: one past it is closed.
pub async fn dns_connections_past_the_limit<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime, true).await;
    let good = framed(&query("www", RecordType::A, 3, &plain()));
    let answered = async |stream: &mut R::Stream| {
        let _ = stream.write_all(&good).await;
        let mut length = [0; 2];
        let got = stream.read_exact(&mut length).await.is_ok();
        let mut rest = vec![0; usize::from(u16::from_be_bytes(length))];
        got && stream.read_exact(&mut rest).await.is_ok()
    };
    let flood = || async {
        // Those of the round before are gone.
        runtime.sleep(Duration::from_millis(50)).await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = connect(&runtime, served.address).await;
            assert!(answered(&mut stream).await, "within the limit");
            held.push(stream);
        }
        for _ in 0..2 * CONNECTIONS {
            let mut stream = connect(&runtime, served.address).await;
            assert!(!answered(&mut stream).await, "past the limit");
        }
        for stream in &mut held {
            assert!(answered(stream).await, "still served");
        }
    };
    withstand(&runtime, "connections past the limit", &mut bystander, flood).await;
    settled(&runtime);
}
