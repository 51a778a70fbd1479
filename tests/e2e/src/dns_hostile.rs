//! DNS and hostile peers: messages that are none, floods, clients that are slow or do not read, servers that lie.

use crate::dns::{Fake, answer, local, question, serve, serve_quic, zones};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::dns::{
    Client, ClientError, Handler, Limits, Message, QueryInfo, QueryOptions, RecordType, Request, Response,
    ResponseCode, Settings,
};
use shroud::runtime::net::{ConnectOptions, DatagramExt, ListenOptions, Listener, ListenerExt};
use shroud::runtime::{Runtime, RuntimeExt};
use shroud_quic::{ConnectionError, VarInt};
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) fn query(name: &str, kind: RecordType, id: u16, options: &QueryOptions) -> Vec<u8> {
    let query = shroud_dns::Query::encode(&question(name, kind), options, id, &mut |_| {});
    query.expect("a query").as_bytes().to_vec()
}

pub(crate) fn plain() -> QueryOptions {
    QueryOptions { payload: None, ..QueryOptions::default() }
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    shroud_dns::frame::framed(message).expect("not too long")
}

/// Refusals are precise, responses are never answered, and no answer over UDP is longer than allowed.
pub async fn datagrams<R: Runtime>(runtime: R) {
    let served = serve(&runtime, zones(), Limits::default()).await;
    let client = Fake::<R>::new(&runtime).await;
    let good = query("www", RecordType::A, 9, &plain());
    // What gets no answer, then what does: the first answer is to the last.
    let mut response = good.clone();
    response[2] |= 0x80;
    for ignored in [response, Vec::new(), vec![0; 11], vec![0xff; 500]] {
        client.socket.send_to(&ignored, served.address).await.expect("sent");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let mut loops = with(11, 1);
    let at = loops.len() as u8;
    loops.extend([0xc0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    let mut edns = Message::from_vec(&query("www", RecordType::A, 9, &QueryOptions::default())).expect("one");
    edns.edns.as_mut().expect("EDNS").set_version(1);
    for (message, code) in [
        (with(2, 0x28), 4),
        (with(5, 2), 1),
        (with(4, 0xff), 1),
        (good[..good.len() - 3].to_vec(), 1),
        (loops, 1),
        (with(12, 0xc0), 1),
        (vec![0; 5000], 1),
        (query("zone.test", RecordType::AXFR, 9, &plain()), 5),
        (edns.to_vec().expect("bytes"), 16),
    ] {
        client.socket.send_to(&message, served.address).await.expect("sent");
        let (answer, _) = client.query().await;
        let answer = Message::from_vec(&answer).expect("an answer");
        assert_eq!(u16::from(answer.response_code), code, "{message:?}");
        assert_eq!(answer.id, u16::from_be_bytes([message[0], message[1]]));
    }
    assert!(served.metrics.ignored() >= 3, "an empty datagram is none at all on some systems");
    // A long answer: 512 bytes at most, 1232 with EDNS, however much the client says it takes.
    for (options, limit) in [
        (plain(), 512),
        (QueryOptions { payload: Some(100), ..QueryOptions::default() }, 512),
        (QueryOptions { payload: Some(65_535), ..QueryOptions::default() }, 1232),
    ] {
        let asked = query("big", RecordType::TXT, 9, &options);
        client.socket.send_to(&asked, served.address).await.expect("sent");
        let (answer, _) = client.query().await;
        assert!(answer.len() <= asked.len() && answer.len() <= limit, "{} bytes", answer.len());
        assert!(Message::from_vec(&answer).expect("an answer").truncation);
    }
}

struct Odd;

impl Handler for Odd {
    async fn answer(&self, request: &Request, _: &QueryInfo) -> Response {
        // The letters are in whatever case chance gave them.
        match request.question.name.to_lowercase().to_string().as_str() {
            "panic.zone.test." => panic!("as the test wants it"),
            "never.zone.test." => std::future::pending().await,
            _ => Response::error(ResponseCode::NXDomain),
        }
    }
}

/// Handlers that panic or never end are answered for; others are served meanwhile.
pub async fn handlers<R: Runtime>(runtime: R) {
    let limits = Limits { answer_time: Duration::from_millis(100), ..Limits::default() };
    let served = serve(&runtime, Odd, limits).await;
    for client in [
        Client::udp(&runtime, &[served.address], Settings::default()),
        Client::tcp(&runtime, served.address, Settings::default()),
    ] {
        let ask = |name: &'static str| {
            let client = client.clone();
            async move {
                client
                    .ask(&question(name, RecordType::A))
                    .await
                    .expect("an answer")
                    .reply
                    .message
                    .response_code
            }
        };
        let codes = futures_util::join!(ask("never"), ask("panic"), ask("other"));
        assert_eq!(codes, (ResponseCode::ServFail, ResponseCode::ServFail, ResponseCode::NXDomain));
    }
    assert!(served.metrics.failed() >= 4, "each of them, and again when a machine is slow");
}

pub(crate) async fn connect<R: Runtime>(runtime: &R, address: SocketAddr) -> R::Stream {
    runtime.connect(address, ConnectOptions::default()).await.expect("a connection")
}

/// Reads until the server closes.
async fn rest<R: Runtime>(stream: &mut R::Stream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    all
}

/// Connections end that announce too much, stop in the middle, idle, or do not read.
pub async fn streams<R: Runtime>(runtime: R) {
    let limits = Limits {
        request_time: Duration::from_millis(200),
        idle_time: Duration::from_millis(300),
        write_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let served = serve(&runtime, zones(), limits).await;
    let good = framed(&query("www", RecordType::A, 3, &plain()));
    // Longer than any question; the one before it is answered or not, and then it is over.
    let mut stream = connect(&runtime, served.address).await;
    stream.write_all(&4097_u16.to_be_bytes()).await.expect("sent");
    assert!(rest::<R>(&mut stream).await.is_empty());
    // Half a message.
    let mut stream = connect(&runtime, served.address).await;
    stream.write_all(&good[..10]).await.expect("sent");
    assert!(rest::<R>(&mut stream).await.is_empty());
    assert_eq!(served.metrics.timed_out(), 1);
    // Idle, after an answer to a question that came byte by byte; and half-closed behind three questions.
    let mut stream = connect(&runtime, served.address).await;
    for byte in &good {
        stream.write_all(&[*byte]).await.expect("sent");
    }
    let one = rest::<R>(&mut stream).await;
    assert!(one.len() > 2 && one.len() == 2 + usize::from(u16::from_be_bytes([one[0], one[1]])));
    let mut stream = connect(&runtime, served.address).await;
    stream.write_all(&good.repeat(3)).await.expect("sent");
    stream.close().await.expect("closed");
    assert_eq!(rest::<R>(&mut stream).await.len(), 3 * one.len());
    // Responses and bad messages do not end a connection, and the former get nothing.
    let mut stream = connect(&runtime, served.address).await;
    let mut mixed = framed(&answer(&good[2..]));
    mixed.extend(framed(&[0; 12]));
    mixed.extend(framed(&[]));
    mixed.extend(&good);
    stream.write_all(&mixed).await.expect("sent");
    stream.close().await.expect("closed");
    assert_eq!(rest::<R>(&mut stream).await.len(), 14 + one.len());
    // Asks for much and reads nothing: the server stops reading, and then waiting.
    let mut stream = connect(&runtime, served.address).await;
    let asked = framed(&query("big", RecordType::TXT, 3, &plain())).repeat(1000);
    let before = served.metrics.timed_out();
    while stream.write_all(&asked).await.is_ok() && served.metrics.timed_out() == before {}
    assert_eq!(served.metrics.timed_out(), before + 1);
}

/// Connections to the limit are served, one past it is closed, and there is room again when one ends.
pub async fn connection_limit<R: Runtime>(runtime: R) {
    let limits = Limits { connections: 3, ..Limits::default() };
    let served = serve(&runtime, zones(), limits).await;
    let good = framed(&query("www", RecordType::A, 3, &plain()));
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&runtime, served.address).await;
        stream.write_all(&good).await.expect("sent");
        stream.read_exact(&mut [0; 2]).await.expect("an answer");
        open.push(stream);
    }
    let mut refused = connect(&runtime, served.address).await;
    assert!(rest::<R>(&mut refused).await.is_empty());
    assert_eq!(served.metrics.connections_refused(), 1);
    drop(open.pop());
    loop {
        let mut stream = connect(&runtime, served.address).await;
        let _ = stream.write_all(&good).await;
        if stream.read_exact(&mut [0; 2]).await.is_ok() {
            break;
        }
        runtime.sleep(Duration::from_millis(5)).await;
    }
}

/// A flood of datagrams of all kinds; a bystander is served meanwhile and afterwards.
pub async fn floods<R: Runtime>(runtime: R) {
    let served = serve(&runtime, zones(), Limits::default()).await;
    let flood = Fake::<R>::new(&runtime).await;
    let lookup = shroud::ghostwire::dns::LookupOptions { tries: 20, ..Default::default() };
    let settings = Settings { lookup, question_time: Duration::from_secs(60), ..Settings::default() };
    let client = Client::udp(&runtime, &[served.address], settings);
    let good = query("www", RecordType::A, 3, &plain());
    for round in 0..20_u8 {
        for n in 0..100_u8 {
            let mut bytes = good.clone();
            let at = usize::from(n) % bytes.len();
            bytes[at] ^= round.wrapping_mul(31).wrapping_add(n);
            flood.socket.send_to(&bytes, served.address).await.expect("sent");
        }
        let answered = client.ask(&question("www", RecordType::A)).await.expect("an answer");
        assert_eq!(answered.reply.message.answers.len(), 1);
    }
}

/// What RFC 9250 forbids ends the connection with its code; a question without an end costs its stream only.
pub async fn quic<R: Runtime>(runtime: R) {
    let limits = Limits { request_time: Duration::from_millis(200), ..Limits::default() };
    let (address, endpoint, config, metrics) = serve_quic(&runtime, zones(), limits).await;
    let good = query("www", RecordType::A, 0, &QueryOptions::default());
    let keepalive = {
        let mut message = Message::from_vec(&good).expect("one");
        let option = shroud_dns::proto::rr::rdata::opt::EdnsOption::Unknown(11, Vec::new());
        message.edns.as_mut().expect("EDNS").options_mut().insert(option);
        message.to_vec().expect("bytes")
    };
    for wrong in [
        framed(&query("www", RecordType::A, 1, &plain())),
        framed(&good).repeat(2),
        framed(&good)[..20].to_vec(),
        Vec::new(),
        framed(&answer(&good)),
        framed(&keepalive),
        vec![0; 4099],
    ] {
        let connection = endpoint.connect(&config, address, "localhost").expect("tried").await.expect("one");
        let (mut send, _receive) = connection.open_bi().await.expect("a stream");
        let _ = send.write_all(&wrong).await;
        let _ = send.finish();
        let closed = connection.closed().await;
        let protocol_error = VarInt::from_u32(2);
        assert!(
            matches!(&closed, ConnectionError::PeerClosed { code, .. } if *code == protocol_error),
            "{closed}"
        );
    }
    let connection = endpoint.connect(&config, address, "localhost").expect("tried").await.expect("one");
    let (mut unfinished, mut nothing) = connection.open_bi().await.expect("a stream");
    unfinished.write_all(&framed(&good)).await.expect("sent");
    nothing.read_to_end(10).await.expect_err("a reset");
    assert_eq!(metrics.timed_out(), 1);
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    send.write_all(&framed(&good)).await.expect("sent");
    send.finish().expect("finished");
    assert!(receive.read_to_end(2000).await.expect("an answer").len() > 40);
}

/// A server over TCP that closes, answers what was not asked, or lies about its answer, is given up with the right error.
pub async fn servers<R: Runtime>(runtime: R) {
    type Lie = fn(&[u8]) -> Vec<u8>;
    let cut: Lie = |query| framed(&answer(query))[..20].to_vec();
    let loops: Lie = |query| {
        let mut bytes = answer(query);
        bytes[7] = 1;
        let at = bytes.len() as u8;
        bytes.extend([0xc0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        framed(&bytes)
    };
    let others: Lie = |query| {
        let mut bytes = answer(query);
        bytes[1] ^= 1;
        framed(&bytes).repeat(100)
    };
    for (lie, malformed) in [(cut, false), (loops, true), (others, false), ((|_| Vec::new()) as Lie, false)] {
        let mut listener = runtime.listen(local(), ListenOptions::default()).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let _serving = runtime.spawn("server", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).await.is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    let _ = stream.read_exact(&mut query).await;
                    let _ = stream.write_all(&lie(&query)).await;
                }
            }
        });
        let client = Client::tcp(&runtime, address, Settings::default());
        let error = client.ask(&question("www", RecordType::A)).await.expect_err("a lie");
        let right = match error {
            ClientError::Mismatch(_) => malformed,
            ClientError::Closed => !malformed,
            _ => false,
        };
        assert!(right, "{error}");
    }
}
