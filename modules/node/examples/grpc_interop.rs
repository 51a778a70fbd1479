//! A gRPC server for others' clients to be tried with, on the backend that is named: `tests/interop/grpc/run` runs it.
//!
//! `cargo run --example grpc_interop -- BACKEND READY_FILE [compress]`

use futures_util::StreamExt;
use futures_util::stream;
use prost::Message;
use shroud::backends::{Visit, with_backend};
use shroud::ghostwire::grpc::{
    Code, HEALTH_DESCRIPTORS, Health, Metadata, Options, Reflection, Request, Response, Server, Service,
    ServingStatus, Status, Streaming,
};
use shroud::ghostwire::http::{self, Limits, Router};
use shroud::runtime::net::Listener;
use shroud::runtime::{Backend, Config, ListenOptions, Runtime};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const DESCRIPTORS: &[u8] = include_bytes!("../../../tests/interop/grpc/notes.bin");

/// `test.Note` of `tests/interop/grpc/notes.proto`.
#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "bytes", tag = "3")]
    data: bytes::Bytes,
}

fn number(number: u64) -> Note {
    Note { number, ..Note::default() }
}

struct CountDrop(Arc<AtomicU64>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn notes() -> Service {
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dropped);
    Service::new("test.Notes")
        .unary("Echo", |request: Request<Note>| async move {
            let mut trailers = Metadata::new();
            let invalid = |error| Status::new(Code::Internal, format!("{error}"));
            trailers.insert_binary("x-after-bin", &[0, 255]).map_err(invalid)?;
            Ok(Response::new(request.message).with_metadata(request.metadata).with_trailers(trailers))
        })
        .unary("Fail", |request: Request<Note>| async move {
            let Note { text, number, data } = request.message;
            let code = u8::try_from(number).ok().and_then(Code::from_number).unwrap_or(Code::Unknown);
            Err::<Response<Note>, _>(Status::new(code, text).with_details(data))
        })
        .server_streaming("Count", |request: Request<Note>| async move {
            let Note { number: count, data, .. } = request.message;
            let notes =
                (0..count).map(move |number| Ok(Note { number, data: data.clone(), ..Note::default() }));
            Ok(Response::new(stream::iter(notes)))
        })
        .client_streaming("Sum", |request: Request<Streaming<Note>>| async move {
            let (mut notes, mut sum) = (request.message, 0_u64);
            while let Some(note) = notes.message().await? {
                sum = sum.wrapping_add(note.number);
            }
            Ok(Response::new(number(sum)))
        })
        .bidirectional("Chat", |request: Request<Streaming<Note>>| async move {
            let answers = request.message.map(|note| note.map(|note| number(note.number.wrapping_mul(2))));
            Ok(Response::new(answers))
        })
        .unary("Never", move |_: Request<Note>| {
            let counted = CountDrop(Arc::clone(&counted));
            async move {
                std::future::pending::<()>().await;
                drop(counted);
                Ok(Response::new(Note::default()))
            }
        })
        .unary("Dropped", move |_: Request<Note>| {
            let count = dropped.load(Ordering::SeqCst);
            async move { Ok(Response::new(number(count))) }
        })
}

async fn serve<R: Runtime>(
    runtime: R,
    ready: String,
    options: Options,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let health = Health::new(&runtime);
    health.set("test.Notes", ServingStatus::Serving);
    health.set("test.Tired", ServingStatus::NotServing);
    let reflection = Reflection::new(&runtime, [DESCRIPTORS, HEALTH_DESCRIPTORS])?;
    let server = Server::new(&runtime, options)
        .with(notes())
        .with(health.service())
        .with(reflection.service())
        .with(reflection.service_v1alpha());
    let server = http::Server::new(Router::new().any("/*", server), Limits::default())?;
    let listener = runtime.listen(SocketAddr::from(([127, 0, 0, 1], 0)), ListenOptions::default()).await?;
    std::fs::write(ready, listener.local_addr()?.to_string())?;
    server.serve(&runtime, listener).await?;
    Ok(())
}

struct Start {
    ready: String,
    options: Options,
}

impl Visit for Start {
    type Output = Result<(), Box<dyn Error + Send + Sync>>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let Self { ready, options } = self;
        if let Err(why) = backend.probe() {
            println!("SKIPPED {}: {why}", backend.name());
            return Ok(());
        }
        let main = move |runtime| serve(runtime, ready.clone(), options);
        backend.run(&Config::default().cores(1), main)?.into_iter().try_for_each(|shard| shard?)
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (backend, ready, compress) = match &arguments[..] {
        [backend, ready] => (backend, ready, false),
        [backend, ready, word] if word == "compress" => (backend, ready, true),
        _ => return Err("usage: grpc_interop BACKEND READY_FILE [compress]".into()),
    };
    let options = Options { compress, ..Options::default() };
    with_backend(backend, Start { ready: ready.clone(), options })?
}
