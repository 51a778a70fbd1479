//! The service that the tests call, and clients of it.

use crate::http::{Served, serve};
use futures_util::StreamExt;
use futures_util::stream::{self, unfold};
use prost::Message;
use shroud::ghostwire::grpc::{
    Client, Code, Metadata, Options, Request, Response, Server, Service, Status, Streaming,
};
use shroud::ghostwire::http::{self, Body, ClientLimits, HeaderMap, HeaderValue, Limits, Router};
use shroud::runtime::Runtime;
use shroud::runtime::sync::channel;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the service's methods take and give.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Note {
    /// Any text.
    #[prost(string, tag = "1")]
    pub text: String,
    /// Any number.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// Any bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub data: bytes::Bytes,
}

/// A note of one number.
pub fn number(number: u64) -> Note {
    Note { number, ..Note::default() }
}

/// A note of so many bytes in all, which do not compress.
pub fn sized(bytes: usize) -> Note {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for overhead in 2..7 {
        let note = Note { data: (0..bytes - overhead).map(|_| noise()).collect(), ..Note::default() };
        if note.encoded_len() == bytes {
            return note;
        }
    }
    panic!("no note of {bytes} bytes");
}

/// The name of the service.
pub const NOTES: &str = "test.Notes";

/// What the service tells the test.
#[derive(Clone)]
pub struct Seen {
    /// A call was dropped before its end.
    pub dropped: channel::Receiver<()>,
    /// Messages that streams have produced, or taken.
    pub moved: Arc<AtomicUsize>,
}

struct TellDrop(channel::Sender<()>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Bytes in each message of `Flow`.
pub const FLOW_BYTES: usize = 16 * 1024;

/// The service:
/// `Echo` gives back message and metadata; `Fail` the status that `number` and `text` say; `Count` streams so many numbers;
/// `Flow` streams without end; `Sum` adds a stream up; `Hold` takes nothing of a stream; `Chat` answers each message
/// with twice its number, `Wait` with itself; `Never` does not answer, `NeverMore` answers once.
pub fn notes() -> (Service, Seen) {
    let (tell, dropped) = channel::unbounded();
    let moved = Arc::new(AtomicUsize::new(0));
    let seen = Seen { dropped, moved: Arc::clone(&moved) };
    let (tell_more, tell_flow, taken) = (tell.clone(), tell.clone(), Arc::clone(&moved));
    let (tell_hold, tell_wait) = (tell.clone(), tell.clone());
    let service = Service::new(NOTES)
        .unary("Echo", |request: Request<Note>| async move {
            let mut trailers = Metadata::new();
            trailers.insert("x-after", "after").expect("valid");
            trailers.insert_binary("x-after-bin", &[0, 255]).expect("valid");
            Ok(Response::new(request.message).with_metadata(request.metadata).with_trailers(trailers))
        })
        .unary("Fail", |request: Request<Note>| async move {
            let code =
                Code::from_number(u8::try_from(request.message.number).expect("a code")).expect("a code");
            let mut metadata = Metadata::new();
            metadata.insert("x-why", "asked").expect("valid");
            let status = Status::new(code, request.message.text).with_metadata(metadata);
            Err::<Response<Note>, _>(status.with_details(request.message.data))
        })
        .server_streaming("Count", |request: Request<Note>| async move {
            Ok(Response::new(stream::iter((0..request.message.number).map(|n| Ok(number(n))))))
        })
        .server_streaming("Flow", move |_: Request<Note>| {
            let (moved, tell) = (Arc::clone(&moved), TellDrop(tell_flow.clone()));
            async move {
                let notes = (0_u64..).map(move |n| {
                    let _ = &tell;
                    moved.fetch_add(1, Ordering::SeqCst);
                    Ok(Note { number: n, data: vec![0; FLOW_BYTES].into(), ..Note::default() })
                });
                Ok(Response::new(stream::iter(notes)))
            }
        })
        .client_streaming("Sum", |request: Request<Streaming<Note>>| async move {
            let (mut notes, mut sum) = (request.message, 0_u64);
            while let Some(note) = notes.message().await? {
                sum += note.number;
            }
            Ok(Response::new(number(sum)))
        })
        .client_streaming("Hold", move |request: Request<Streaming<Note>>| {
            let (taken, tell) = (Arc::clone(&taken), TellDrop(tell_hold.clone()));
            async move {
                let mut notes = request.message;
                notes.message().await?;
                taken.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
                drop(tell);
                Ok(Response::new(number(0)))
            }
        })
        .bidirectional("Chat", |request: Request<Streaming<Note>>| async move {
            let answers = request.message.map(|note| note.map(|note| number(note.number * 2)));
            Ok(Response::new(answers))
        })
        .bidirectional("Wait", move |request: Request<Streaming<Note>>| {
            let tell = TellDrop(tell_wait.clone());
            async move {
                let waits = unfold((request.message, tell), |(mut notes, tell)| async move {
                    let note = notes.message().await.transpose()?;
                    Some((note, (notes, tell)))
                });
                Ok(Response::new(waits))
            }
        })
        .unary("Never", move |_: Request<Note>| {
            let tell = TellDrop(tell.clone());
            async move {
                std::future::pending::<()>().await;
                drop(tell);
                Ok(Response::new(Note::default()))
            }
        })
        .server_streaming("NeverMore", move |_: Request<Note>| {
            let tell = TellDrop(tell_more.clone());
            async move {
                let notes = unfold((0, tell), |(n, tell)| async move {
                    if n > 0 {
                        std::future::pending::<()>().await;
                    }
                    Some((Ok(number(n)), (n + 1, tell)))
                });
                Ok(Response::new(notes))
            }
        });
    (service, seen)
}

/// A server of the notes, over HTTP/2 in the clear.
pub async fn serve_notes<R: Runtime>(runtime: &R, options: Options) -> (Served, Seen) {
    let (service, seen) = notes();
    let server = Server::new(runtime, options).with(service);
    // Calls know no limit of bodies.
    let limits = Limits { body_bytes: 1024, ..Limits::default() };
    (serve(runtime, server.mount(Router::new()), limits).await, seen)
}

/// A client without TLS.
pub fn client<R: Runtime>(runtime: &R, served: &Served, options: Options) -> Client<R> {
    client_at(runtime, served.address, options)
}

/// A client without TLS of whoever is there.
pub fn client_at<R: Runtime>(runtime: &R, address: SocketAddr, options: Options) -> Client<R> {
    let http = http::Client::new(runtime.clone(), ClientLimits::default());
    let address = format!("http://{address}").parse().expect("an address");
    Client::new(&http, &address, options).expect("an address of a server")
}

/// `/test.Notes/METHOD`.
pub fn path(method: &str) -> &'static str {
    const PATHS: [&str; 11] = [
        "/test.Notes/Echo",
        "/test.Notes/Fail",
        "/test.Notes/Count",
        "/test.Notes/Flow",
        "/test.Notes/Sum",
        "/test.Notes/Hold",
        "/test.Notes/Chat",
        "/test.Notes/Never",
        "/test.Notes/NeverMore",
        "/test.Notes/Wait",
        "/test.Notes/None",
    ];
    PATHS.into_iter().find(|path| path.strip_prefix("/test.Notes/") == Some(method)).expect("a method")
}

/// An answer as HTTP has it.
pub struct Plain {
    /// The HTTP status.
    pub status: u16,
    /// The header.
    pub head: HeaderMap,
    /// All data.
    pub body: Vec<u8>,
    /// The trailers; none when there were none.
    pub trailers: HeaderMap,
}

impl Plain {
    /// The status of the call, and whether it came without anything before it.
    pub fn code(&self) -> (Option<Code>, bool) {
        let code = |fields: &HeaderMap| {
            let number = fields.get("grpc-status")?.to_str().ok()?.parse().ok()?;
            Code::from_number(number)
        };
        match code(&self.head) {
            Some(code) => (Some(code), true),
            None => (code(&self.trailers), false),
        }
    }

    /// The message of the call's status, as it was encoded.
    pub fn message(&self) -> &str {
        let value = self.head.get("grpc-message").or_else(|| self.trailers.get("grpc-message"));
        value.map_or("", |value| value.to_str().expect("text"))
    }
}

/// A POST as HTTP has it, with these bytes and fields.
pub async fn post<R: Runtime>(
    runtime: &R,
    served: &Served,
    path: &str,
    fields: &[(&'static str, &str)],
    body: impl Into<Body>,
) -> Plain {
    let http = http::Client::new(runtime.clone(), ClientLimits::default()).with_http2_in_clear();
    let mut request = http::Request::post(format!("http://{}{path}", served.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body.into())
        .expect("a request");
    for (name, value) in fields {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let (head, mut body) = http.fetch(request).await.expect("an answer").into_parts();
    let mut plain = Plain {
        status: head.status.as_u16(),
        head: head.headers,
        body: Vec::new(),
        trailers: HeaderMap::new(),
    };
    while let Some(frame) = body.frame().await.expect("a frame") {
        match frame.into_data() {
            Ok(data) => plain.body.extend_from_slice(&data),
            Err(frame) => plain.trailers = frame.into_trailers().expect("trailers"),
        }
    }
    plain
}

/// A message with its prefix.
pub fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    bytes.extend(message);
    bytes
}
