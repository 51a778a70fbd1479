//! The gRPC client: a server of HTTP/2 that answers any status, fields, data and trailers. Every call ends in its time, and
//! none ends well that the server has not said to.
//!
//! The first two bytes say what the answer's status is and which kind of call is made. Then come the lines of the answer's
//! head, pieces of data, and the lines of its trailers, with pairs of bytes 255 between them.
#![no_main]

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
#[allow(dead_code, reason = "shared with other targets")]
mod servers;

use bytes::Bytes;
use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryRuntime, Peer};
use servers::parts;
use shroud_ghostwire::grpc::{Client, HealthCheckRequest, HealthCheckResponse, Options, Request, Status};
use shroud_ghostwire::http::{
    self, Body, ClientLimits, HeaderMap, HeaderName, HeaderValue, Limits, Response, Server, StatusCode, Uri,
    handler_fn,
};
use shroud_runtime::{Class, Runtime};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// What is answered.
struct Script {
    status: StatusCode,
    head: HeaderMap,
    data: Vec<Bytes>,
    trailers: HeaderMap,
}

impl Script {
    fn read(status: u8, mut parts: VecDeque<Vec<u8>>) -> Self {
        // Most are 200, without which there is not much to say.
        let code = if status < 0x80 { 200 } else { 200 + u16::from(status & 0x7f) * 3 };
        let head = fields(&parts.pop_front().unwrap_or_default());
        let trailers = fields(&parts.pop_back().unwrap_or_default());
        let data = parts.into_iter().map(Bytes::from).collect();
        Self { status: StatusCode::from_u16(code).expect("a code"), head, data, trailers }
    }

    fn response(&self) -> Response<Body> {
        let pieces = Pieces(self.data.clone().into());
        let body = Body::stream(pieces).with_trailers(self.trailers.clone());
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.head.clone();
        response
    }

    fn says_ok(&self) -> bool {
        let zero = |headers: &HeaderMap| headers.get("grpc-status").is_some_and(|code| code == "0");
        zero(&self.head) || zero(&self.trailers)
    }
}

/// Lines as fields, those that are none left out.
fn fields(text: &[u8]) -> HeaderMap {
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
    };
    let mut fields = HeaderMap::new();
    for (name, value) in text.split(|byte| *byte == b'\n').filter_map(field) {
        fields.append(name, value);
    }
    fields
}

/// A body in pieces.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = http::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, http::BodyError>>> {
        std::task::Poll::Ready(self.0.pop_front().map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

/// A connection, whose ends are carried to each other.
struct Link {
    client: Peer,
    server: Peer,
}

impl Link {
    fn carry(&self) -> bool {
        let (there, back) = (self.client.take_output(), self.server.take_output());
        self.server.send(&there);
        self.client.send(&back);
        if self.client.is_closed() {
            self.server.end();
        }
        if self.server.is_closed() {
            self.client.end();
        }
        !there.is_empty() || !back.is_empty()
    }
}

fuzz_target!(|input: &[u8]| {
    let &[status, kind, ref bytes @ ..] = input else { return };
    let memory = Memory::new();
    let script = Arc::new(Script::read(status, parts(bytes)));
    let mut story = memory.runtime.spawn("story", story(memory.runtime.clone(), kind, script.says_ok()));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut links: Vec<Link> = Vec::new();
    let mut idle = 0;
    while Pin::new(&mut story).poll(cx).map(|ended| ended.expect("the story ends well")).is_pending() {
        memory.settle();
        for client in memory.take_dialled() {
            client.make_room(usize::MAX);
            links.push(Link { client, server: serve(&memory, Arc::clone(&script)) });
        }
        let carried = links.iter().filter(|link| link.carry()).count();
        memory.settle();
        if carried == 0 {
            memory.advance(Duration::from_millis(100));
            idle += 1;
        }
        assert!(idle < 100, "a call takes longer than it may");
    }
});

/// A server of one connection.
fn serve(memory: &Memory, script: Arc<Script>) -> Peer {
    let (peer, listener) = Peer::new();
    peer.make_room(usize::MAX);
    let handler = handler_fn(move |_| {
        let response = script.response();
        async move { response }
    });
    let server = Server::new(handler, Limits::default()).expect("valid limits");
    let runtime = memory.runtime.clone();
    let serve = async move {
        let _ = server.serve(&runtime, listener).await;
    };
    memory.runtime.spawn_in(Class::Network, "serve", serve).detach();
    peer
}

async fn story(runtime: MemoryRuntime, kind: u8, may_end_well: bool) {
    let http = http::Client::new(runtime, ClientLimits::default());
    let options = Options { message_bytes: 1000, ..Options::default() };
    let address = Uri::from_static("http://server.test:50051");
    let client = Client::new(&http, &address, options).expect("an address");
    let question = HealthCheckRequest { service: "a".into() };
    let limit = Duration::from_secs(2);
    let ended: Result<(), Status> = match kind % 3 {
        0 => {
            let asked =
                client.unary::<_, HealthCheckResponse>(PATH, Request::new(question).with_timeout(limit));
            asked.await.map(drop)
        }
        1 => {
            let request = Request::new(question).with_timeout(limit);
            drain(client.server_streaming(PATH, request).await).await
        }
        _ => {
            let questions = stream::iter([question.clone(), question]);
            let request = Request::new(questions).with_timeout(limit);
            drain(client.bidirectional(PATH, request).await).await
        }
    };
    assert!(ended.is_err() || may_end_well, "nobody has said that it went well");
}

type Answers = shroud_ghostwire::grpc::Response<shroud_ghostwire::grpc::Streaming<HealthCheckResponse>>;

async fn drain(answer: Result<Answers, Status>) -> Result<(), Status> {
    let mut messages = answer?.message;
    while messages.message().await?.is_some() {}
    Ok(())
}
