//! WebSocket as well-behaved and hostile peers see it, over HTTP/1.1.

use crate::http::{Raw, Served, serve};
use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shroud::ghostwire::http::{HeaderMap, Limits, Router, Uri, header};
use shroud::ghostwire::rpc::{
    Behind, Json, Methods, RpcError, RpcHandler, RpcLimits, Subscriber, Subscriptions, over_websocket,
};
use shroud::ghostwire::websocket::{
    self, CloseCode, Closed, Compression, ConnectError, ConnectTo, End, Error, Message, Metrics, Options,
    Origins, Policy, Settings, WebSocket, connect,
};
use shroud::runtime::net::ConnectOptions;
use shroud::runtime::{Runtime, RuntimeExt};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

/// Echoes every message.
/// Echoes messages.
pub async fn echo(mut socket: WebSocket, _: websocket::Opened) {
    while let Ok(Some(message)) = socket.receive().await {
        if socket.feed(message).await.is_err() {
            return;
        }
    }
}

fn options(settings: Settings) -> Options {
    let policy = Policy {
        protocols: vec!["v2".into(), "v1".into()],
        compression: Some(Compression::default()),
        ..Policy::default()
    };
    Options { settings, policy, ..Options::default() }
}

async fn serve_echo<R: Runtime>(runtime: &R, settings: Settings) -> (Served, Metrics) {
    let options = options(settings);
    let metrics = options.metrics.clone();
    let router = Router::new().get("/echo", websocket::serve(options, echo));
    (serve(runtime, router, Limits::default()).await, metrics)
}

fn address(of: SocketAddr) -> Uri {
    format!("ws://{of}/echo").parse().expect("an address")
}

async fn open<R: Runtime>(runtime: &R, served: &Served, to: ConnectTo) -> WebSocket {
    connect(runtime, &address(served.address), to).await.expect("a connection").0
}

async fn receive(socket: &mut WebSocket) -> Message {
    socket.receive().await.expect("no failure").expect("a message")
}

/// Messages of all kinds and sizes come back, compressed or not.
pub async fn echoes<R: Runtime>(runtime: R) {
    let (served, metrics) = serve_echo(&runtime, Settings::default()).await;
    for compression in [None, Some(Compression::default())] {
        let mut socket = open(&runtime, &served, ConnectTo { compression, ..ConnectTo::default() }).await;
        for length in [0, 1, 125, 126, 4096, 65_535, 65_536, 1 << 20] {
            for message in [
                Message::from("µ".repeat(length / 2)),
                Message::from((0..length).map(|n| n as u8).collect::<Vec<_>>()),
            ] {
                // Both ways at once: neither side's buffers hold a megabyte.
                let (mut sender, mut receiver) = (Some(message.clone()), None);
                while receiver.is_none() {
                    if let Some(message) = sender.take() {
                        socket.feed(message).await.expect("queued");
                    }
                    receiver = Some(receive(&mut socket).await);
                }
                assert!(receiver == Some(message), "{length}");
            }
        }
        assert_eq!(metrics.connections(), 1);
        let end = socket.close(CloseCode::NORMAL, "done").await;
        assert!(matches!(&end, End::Closed(Some(frame)) if frame.code == CloseCode::NORMAL), "{end:?}");
        drop(socket);
        served.quiet(&runtime).await;
        assert_eq!(metrics.connections(), 0);
    }
}

/// A thousand messages that are sent together are answered in order.
pub async fn many_at_once<R: Runtime>(runtime: R) {
    let (served, _) = serve_echo(&runtime, Settings::default()).await;
    let mut socket = open(&runtime, &served, ConnectTo::default()).await;
    for n in 0..1000 {
        socket.feed(format!("message {n}")).await.expect("queued");
    }
    for n in 0..1000 {
        assert_eq!(receive(&mut socket).await, Message::from(format!("message {n}")));
    }
    // And large ones, both ways at once, by two halves.
    let (sender, mut receiver) = socket.split();
    let large = vec![7_u8; 300_000];
    let send = async {
        for _ in 0..20 {
            sender.send(large.clone()).await.expect("sent");
        }
    };
    let receive = async {
        for _ in 0..20 {
            assert!(receiver.receive().await.expect("open") == Some(Message::from(large.clone())));
        }
    };
    join(send, receive).await;
    sender.close(CloseCode(4000), "enough");
    assert_eq!(receiver.receive().await, Ok(None));
}

/// Fragments of other sizes than ours, with pings in between, in small pieces.
pub async fn fragments<R: Runtime>(runtime: R) {
    let (served, _) = serve_echo(&runtime, Settings { fragment_bytes: 10, ..Settings::default() }).await;
    let settings = Settings { fragment_bytes: 3, ..Settings::default() };
    let mut socket = open(&runtime, &served, ConnectTo { settings, ..ConnectTo::default() }).await;
    let text = "κόσμε in pieces of three bytes that cut characters".to_owned();
    socket.send(text.clone()).await.expect("sent");
    assert_eq!(receive(&mut socket).await, Message::from(text));
    let mut raw = handshake::<R>(&runtime, served.address, "").await;
    for piece in [frame(0x01, b"frag"), frame(0x89, b"ping"), frame(0x00, b"men"), frame(0x80, b"ts")] {
        for byte in piece {
            raw.write_all(&[byte]).await.expect("sent");
        }
    }
    // The echo is in fragments of ten bytes, and fits one.
    assert_eq!(read_frame(&mut raw).await, (0x8A, b"ping".to_vec()));
    assert_eq!(read_frame(&mut raw).await, (0x81, b"fragments".to_vec()));
}

/// A masked frame of a client.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).expect("short")];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A server's frame: its first byte and its payload.
async fn read_frame(stream: &mut (impl futures_util::AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.expect("a frame");
    assert!(head[1] < 126, "short");
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).await.expect("its payload");
    (head[0], payload)
}

/// Opens a connection by hand; `extra` are further header lines.
pub async fn handshake<R: Runtime>(runtime: &R, address: SocketAddr, extra: &str) -> R::Stream {
    handshake_with(runtime, address, extra, &[]).await
}

/// As [`handshake`], with bytes that follow in the same packet.
async fn handshake_with<R: Runtime>(runtime: &R, address: SocketAddr, extra: &str, more: &[u8]) -> R::Stream {
    let mut stream = runtime.connect(address, ConnectOptions::default()).await.expect("a connection");
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    );
    stream.write_all(&[request.as_bytes(), more].concat()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("an answer");
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).expect("text").to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    stream
}

/// What comes together with the handshake is not lost.
pub async fn frames_behind_the_handshake<R: Runtime>(runtime: R) {
    let (served, _) = serve_echo(&runtime, Settings::default()).await;
    let more = [frame(0x81, b"first"), frame(0x81, b"second")].concat();
    let mut stream = handshake_with(&runtime, served.address, "", &more).await;
    assert_eq!(read_frame(&mut stream).await, (0x81, b"first".to_vec()));
    assert_eq!(read_frame(&mut stream).await, (0x81, b"second".to_vec()));
}

/// Requests that are no handshake, subprotocols, origins, and a plain request on the same connection before.
pub async fn handshakes<R: Runtime>(runtime: R) {
    let (served, metrics) = serve_echo(&runtime, Settings::default()).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    let host = served.address;
    for (request, status) in [
        (format!("GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n"), 426),
        (
            format!(
                "GET /none HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            ),
            404,
        ),
        (
            format!(
                "GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            ),
            400,
        ),
        (
            format!(
                "GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Origin: https://evil.example\r\n\r\n"
            ),
            403,
        ),
    ] {
        raw.send(&request).await;
        let answer = raw.answer().await.expect("an answer");
        assert_eq!(answer.status, status, "{request}");
    }
    assert_eq!(metrics.connections(), 0);
    let mut headers = HeaderMap::new();
    headers.insert(header::ORIGIN, format!("http://{host}").parse().expect("a value"));
    let protocols = vec!["v1".to_owned(), "v2".to_owned()];
    let to = ConnectTo { headers, protocols, ..ConnectTo::default() };
    let (_socket, protocol) = connect(&runtime, &address(host), to).await.expect("a connection");
    assert_eq!(protocol.as_deref(), Some("v2"), "the server's preference");
    let error =
        connect(&runtime, &format!("ws://{host}/none").parse().expect("valid"), ConnectTo::default()).await;
    assert!(matches!(error, Err(ConnectError::Opening(_))), "{error:?}");
    let error =
        connect(&runtime, &format!("http://{host}/").parse().expect("valid"), ConnectTo::default()).await;
    assert!(matches!(error, Err(ConnectError::Address(_))), "{error:?}");
}

/// What hostile clients send, and the close code that each is answered with; a bystander notices nothing.
pub async fn hostile_frames<R: Runtime>(runtime: R) {
    let limits = Settings { message_bytes: 10_000, frame_bytes: 9_000, ..Settings::default() };
    let (served, _) = serve_echo(&runtime, limits).await;
    let mut bystander = open(&runtime, &served, ConnectTo::default()).await;
    let cases: [(&str, Vec<u8>, u16); 12] = [
        ("unmasked", vec![0x81, 0x01, b'x'], 1002),
        ("reserved bit", frame(0xA1, b"x"), 1002),
        ("compressed without agreement", frame(0xC1, b"x"), 1002),
        ("reserved opcode", frame(0x83, b""), 1002),
        ("fragmented ping", frame(0x09, b"x"), 1002),
        ("long ping", vec![0x89, 0xFE, 0, 126, 1, 2, 3, 4], 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        ("length with leading zeros", vec![0x81, 0xFE, 0, 5, 1, 2, 3, 4], 1002),
        ("invalid text", frame(0x81, b"\xC0\xAF"), 1007),
        ("frame over the limit", [&[0x82, 0xFE][..], &9_001_u16.to_be_bytes(), &[1, 2, 3, 4]].concat(), 1009),
        ("invalid close code", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close with half a code", frame(0x88, &[3]), 1002),
    ];
    for (name, bytes, code) in cases {
        let mut stream = handshake::<R>(&runtime, served.address, "").await;
        stream.write_all(&bytes).await.expect("sent");
        let (first, payload) = read_frame(&mut stream).await;
        let answered = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        assert_eq!((first, answered), (0x88, Some(code)), "{name}");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("the end, not a reset");
        assert!(rest.is_empty(), "{name}");
    }
    bystander.send("still here").await.expect("sent");
    assert_eq!(receive(&mut bystander).await, Message::from("still here"));
}

/// 64 MiB of zeros in 64 KiB: answered 1009 at the limit.
pub async fn compression_bombs<R: Runtime>(runtime: R) {
    let (served, _) = serve_echo(&runtime, Settings { message_bytes: 1 << 20, ..Settings::default() }).await;
    let settings = Settings { message_bytes: 1 << 30, ..Settings::default() };
    for (length, passes) in [(1 << 20, true), ((1 << 20) + 1, false), (64 << 20, false)] {
        let to = ConnectTo { settings: settings.clone(), ..ConnectTo::default() };
        let mut socket = open(&runtime, &served, to).await;
        socket.send(vec![0; length]).await.expect("sent");
        match socket.receive().await {
            Ok(Some(message)) => assert!(passes && message.len() == length),
            Ok(None) => {
                let Some(End::Closed(Some(frame))) = socket.end() else { panic!("{:?}", socket.end()) };
                assert_eq!((passes, frame.code), (false, CloseCode::TOO_LONG));
            }
            Err(closed) => panic!("{closed}"),
        }
    }
}

/// A client that sends and never reads: the server stops reading at its queue's limit and drops it in time.
pub async fn clients_that_do_not_read<R: Runtime>(runtime: R) {
    let settings =
        Settings { queued_bytes: 64 * 1024, write_time: Duration::from_millis(300), ..Settings::default() };
    let (served, metrics) = serve_echo(&runtime, settings).await;
    let mut stream = handshake::<R>(&runtime, served.address, "").await;
    let mut message = vec![0x82, 0xFE];
    message.extend(60_000_u16.to_be_bytes());
    message.extend([0; 4]);
    message.extend(vec![7; 60_000]);
    let mut sent: usize = 0;
    // Takes no more, or is gone: at most what the kernel's buffers and the queue hold.
    while let Ok(Ok(())) = runtime.timeout(Duration::from_secs(2), stream.write_all(&message)).await {
        sent += message.len();
        assert!(sent < 256 << 20, "the server reads on and on");
    }
    while metrics.connections() > 0 {
        runtime.sleep(Duration::from_millis(10)).await;
    }
    served.quiet(&runtime).await;
}

/// A flood of pings is answered without an end, and costs no memory when the pongs are not read.
pub async fn ping_floods<R: Runtime>(runtime: R) {
    let (served, _) = serve_echo(&runtime, Settings::default()).await;
    let mut stream = handshake::<R>(&runtime, served.address, "").await;
    let ping = frame(0x89, b"flood");
    for _ in 0..100 {
        stream.write_all(&ping.repeat(100)).await.expect("sent");
    }
    stream.write_all(&frame(0x81, b"after")).await.expect("sent");
    loop {
        match read_frame(&mut stream).await {
            (0x8A, payload) => assert_eq!(payload, b"flood"),
            other => {
                assert_eq!(other, (0x81, b"after".to_vec()));
                break;
            }
        }
    }
}

/// Silent peers are pinged; those that answer stay, those that do not are dropped.
pub async fn keep_alive<R: Runtime>(runtime: R) {
    let settings = Settings {
        ping_after: Some(Duration::from_millis(50)),
        pong_time: Duration::from_millis(200),
        ..Settings::default()
    };
    let (served, metrics) = serve_echo(&runtime, settings).await;
    let mut lively = open(&runtime, &served, ConnectTo::default()).await;
    let mut dead = handshake::<R>(&runtime, served.address, "").await;
    assert_eq!(metrics.connections(), 2);
    let watch = async {
        while metrics.connections() > 1 {
            runtime.sleep(Duration::from_millis(10)).await;
        }
        runtime.sleep(Duration::from_millis(400)).await;
    };
    // Receiving is what answers pings.
    assert!(matches!(
        futures_util::future::select(Box::pin(lively.receive()), Box::pin(watch)).await,
        futures_util::future::Either::Right(_)
    ));
    assert_eq!(metrics.connections(), 1, "the lively one");
    assert_eq!(read_frame(&mut dead).await.0, 0x89);
    let (first, payload) = read_frame(&mut dead).await;
    assert_eq!((first, &payload[..2]), (0x88, &1011_u16.to_be_bytes()[..]));
    lively.send("still here").await.expect("sent");
    assert_eq!(receive(&mut lively).await, Message::from("still here"));
}

/// A message that never ends is answered 1008.
pub async fn slow_messages<R: Runtime>(runtime: R) {
    let settings = Settings { message_time: Duration::from_millis(200), ..Settings::default() };
    let (served, _) = serve_echo(&runtime, settings).await;
    let mut stream = handshake::<R>(&runtime, served.address, "").await;
    stream.write_all(&frame(0x01, b"a")).await.expect("sent");
    let (first, payload) = read_frame(&mut stream).await;
    assert_eq!((first, &payload[..2]), (0x88, &1008_u16.to_be_bytes()[..]));
}

/// A connection that breaks off is an error at the other side, and leaves nothing behind.
pub async fn peers_that_vanish<R: Runtime>(runtime: R) {
    let (served, metrics) = serve_echo(&runtime, Settings::default()).await;
    let stream = handshake::<R>(&runtime, served.address, "").await;
    drop(stream);
    let socket = open(&runtime, &served, ConnectTo::default()).await;
    drop(socket);
    served.quiet(&runtime).await;
    assert_eq!(metrics.connections(), 0);
    // The other way round: a server that returns closes in order.
    let router = Router::new().get("/echo", websocket::serve(Options::default(), |_, _| async {}));
    let served = serve(&runtime, router, Limits::default()).await;
    let mut socket = open(&runtime, &served, ConnectTo::default()).await;
    assert_eq!(socket.receive().await, Ok(None));
    assert!(matches!(socket.end(), Some(End::Closed(Some(frame))) if frame.code == CloseCode::NORMAL));
    assert!(matches!(socket.send("late").await, Err(Closed(End::Closed(_)))));
}

/// Waiting for a message and giving up loses nothing.
pub async fn receiving_is_cancel_safe<R: Runtime>(runtime: R) {
    let (served, _) = serve_echo(&runtime, Settings::default()).await;
    let mut socket = open(&runtime, &served, ConnectTo::default()).await;
    for n in 0..50 {
        socket.feed(format!("{n}")).await.expect("queued");
    }
    let mut next = 0;
    while next < 50 {
        if let Ok(message) = runtime.timeout(Duration::from_micros(50), socket.receive()).await {
            assert_eq!(message, Ok(Some(Message::from(format!("{next}")))));
            next += 1;
        }
    }
}

/// Stopping the node closes connections with 1001; those over the limit are refused before.
pub async fn stopping_says_goodbye<R: Runtime>(runtime: R) {
    let options = options(Settings::default());
    let metrics = options.metrics.clone();
    let router = Router::new().get("/echo", websocket::serve(options, echo));
    let limits = Limits { connections: 3, ..Limits::default() };
    let served = serve(&runtime, router, limits).await;
    let mut sockets = join_all((0..3).map(|_| open(&runtime, &served, ConnectTo::default()))).await;
    assert_eq!(metrics.connections(), 3);
    let refused = connect(&runtime, &address(served.address), ConnectTo::default()).await;
    assert!(matches!(refused, Err(ConnectError::Opening(_) | ConnectError::Http(_))), "{refused:?}");
    runtime.stopping().cancel();
    for socket in &mut sockets {
        // The client's own runtime stops, too: both say the same.
        assert_eq!(socket.receive().await, Ok(None));
        assert!(
            matches!(socket.end(), Some(End::Closed(Some(frame))) if frame.code == CloseCode::GOING_AWAY)
        );
    }
    served.task.await.expect("the server's task").expect("an orderly end");
    assert_eq!(metrics.connections(), 0);
}

/// Methods that echo, wait and count, with one subscription that tells as fast as it is listened to.
struct Counter<R> {
    runtime: R,
}

struct Ticks {
    left: u64,
    behind: bool,
}

impl<R: Runtime> Methods for Counter<R> {
    async fn call(&self, method: &str, params: Option<&RawValue>) -> Result<Json, RpcError> {
        match method {
            "echo" => Ok(params.map_or(Json::NULL, Json::from)),
            "slow" => {
                self.runtime.sleep(Duration::from_millis(100)).await;
                Ok(Json::TRUE)
            }
            other => Err(RpcError::method_not_found(other)),
        }
    }
}

impl<R: Runtime> Subscriptions for Counter<R> {
    type Subscriber = Ticks;

    fn subscriber(&self) -> Ticks {
        Ticks { left: 0, behind: false }
    }
}

impl Subscriber for Ticks {
    fn call(&mut self, method: &str, _: Option<&RawValue>) -> Option<Result<Json, RpcError>> {
        match method {
            "subscribe" => self.left = 1000,
            "unsubscribe" => self.left = 0,
            "fall_behind_and_subscribe" => self.behind = true,
            _ => return None,
        }
        Some(Ok(Json::TRUE))
    }

    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Json, Behind>> {
        if self.behind {
            return Poll::Ready(Err(Behind));
        }
        if self.left == 0 {
            return Poll::Pending;
        }
        self.left -= 1;
        Poll::Ready(Ok(Json::new(&json!({"tick": self.left})).expect("JSON")))
    }
}

async fn ask(socket: &mut WebSocket, text: &str) {
    socket.send(text.to_owned()).await.expect("sent");
}

async fn answered(socket: &mut WebSocket) -> Value {
    serde_json::from_slice(receive(socket).await.as_bytes()).expect("JSON")
}

/// Calls run at the same time and are answered as they finish; batches, notifications and faults as over HTTP.
pub async fn json_rpc<R: Runtime>(runtime: R) {
    let rpc = RpcHandler::new(Counter { runtime: runtime.clone() }, RpcLimits::default());
    let policy = Policy { origins: Origins::Any, ..Policy::default() };
    let router = Router::new().get("/echo", over_websocket(rpc, Options { policy, ..Options::default() }));
    let served = serve(&runtime, router, Limits::default()).await;
    let mut socket = open(&runtime, &served, ConnectTo::default()).await;
    ask(&mut socket, r#"{"jsonrpc":"2.0","id":1,"method":"slow"}"#).await;
    ask(&mut socket, r#"{"jsonrpc":"2.0","id":2,"method":"echo","params":[7]}"#).await;
    ask(&mut socket, r#"{"jsonrpc":"2.0","method":"echo"}"#).await;
    assert_eq!(answered(&mut socket).await, json!({"jsonrpc":"2.0","id":2,"result":[7]}));
    assert_eq!(answered(&mut socket).await, json!({"jsonrpc":"2.0","id":1,"result":true}));
    ask(
        &mut socket,
        r#"[{"jsonrpc":"2.0","id":3,"method":"echo"},{"jsonrpc":"2.0","id":4,"method":"none"}]"#,
    )
    .await;
    let batch = answered(&mut socket).await;
    assert_eq!((&batch[0]["result"], &batch[1]["error"]["code"]), (&Value::Null, &json!(-32601)));
    ask(&mut socket, "{").await;
    assert_eq!(answered(&mut socket).await["error"]["code"], json!(-32700));

    ask(&mut socket, r#"{"jsonrpc":"2.0","id":5,"method":"subscribe"}"#).await;
    assert_eq!(answered(&mut socket).await["result"], json!(true), "before the first notification");
    for left in (0..1000).rev() {
        assert_eq!(answered(&mut socket).await, json!({"tick": left}));
    }
    ask(&mut socket, r#"{"jsonrpc":"2.0","id":6,"method":"fall_behind_and_subscribe"}"#).await;
    assert_eq!(answered(&mut socket).await["result"], json!(true));
    assert_eq!(socket.receive().await, Ok(None));
    assert!(matches!(socket.end(), Some(End::Closed(Some(frame))) if frame.code == CloseCode::POLICY));

    // A call in work is answered although the node stops meanwhile.
    let mut raw = handshake::<R>(&runtime, served.address, "").await;
    raw.write_all(&frame(0x81, br#"{"jsonrpc":"2.0","id":7,"method":"slow"}"#)).await.expect("sent");
    runtime.sleep(Duration::from_millis(30)).await;
    runtime.stopping().cancel();
    let (first, payload) = read_frame(&mut raw).await;
    assert_eq!((first, &payload[..]), (0x81, &br#"{"jsonrpc":"2.0","id":7,"result":true}"#[..]));
    let (first, payload) = read_frame(&mut raw).await;
    assert_eq!((first, &payload[..2]), (0x88, &1001_u16.to_be_bytes()[..]));
}

/// A server that breaks the protocol is refused by the client.
pub async fn hostile_servers<R: Runtime>(runtime: R) {
    use shroud::runtime::net::{ListenOptions, Listener as _, ListenerExt as _};
    let any = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let at = listener.local_addr().expect("its address");
    for (bytes, error) in [
        (frame(0x81, b"masked"), Error::Masked),
        (vec![0x81, 2, 0xC0, 0xAF], Error::Utf8),
        (vec![0xC1, 1, 0], Error::ReservedBit),
    ] {
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await.expect("a request");
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).expect("text");
            let key =
                request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
            let mut given = http_request(key);
            given.extend(&bytes);
            stream.write_all(&given).await.expect("sent");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        };
        let client = async {
            let mut socket = connect(&runtime, &address(at), ConnectTo::default()).await.expect("opened").0;
            assert_eq!(socket.receive().await, Err(Closed(End::Failed(error))));
        };
        join(server, client).await;
    }
}

/// The answer of a server that accepts `key`.
fn http_request(key: &str) -> Vec<u8> {
    use shroud::websocket::handshake::{Policy, accept};
    let mut request = shroud::ghostwire::http::Request::get("/echo").body(()).expect("valid");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key),
    ] {
        request.headers_mut().insert(name, value.parse().expect("valid"));
    }
    let agreed = accept(&request, &Policy::default()).expect("agreed");
    let mut text = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
    for (name, value) in &agreed.headers {
        text += &format!("{name}: {}\r\n", value.to_str().expect("text"));
    }
    (text + "\r\n").into_bytes()
}
