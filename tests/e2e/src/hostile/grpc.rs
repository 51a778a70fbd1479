//! gRPC.

use super::harness::{Bystander, InPlace, breathe, bystander, settle, withstand};
use super::http1::impatient;
use super::stage::{Place, at};
use crate::grpc::{Note, client_at, framed, notes, number, path};
use crate::http::Served;
use crate::http2_hostile::frames::{
    Client as Raw, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, field, frame,
    request,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use shroud::ghostwire::grpc::{Client, Options, Request, Response, Server};
use shroud::ghostwire::http::Router;
use shroud::runtime::Runtime;
use std::io::Write;
use std::time::Duration;

/// Connections, one after the other, that each do the worst they can.
const ROUNDS: usize = 8;

/// Calls on each.
const CALLS: u32 = 90;

impl<R: Runtime> Bystander for Client<R> {
    async fn ask(&mut self) {
        let echo: Response<Note> =
            self.unary(path("Echo"), Request::new(number(7))).await.expect("an answer");
        assert_eq!(echo.message, number(7));
    }
}

async fn served<R: Runtime>(runtime: &R) -> (Served, InPlace<Client<R>>) {
    let serve = |runtime: R| async move {
        let (service, seen) = notes();
        let options = Options { message_time: Duration::from_millis(700), ..Options::default() };
        let router = Server::new(&runtime, options).with(service).mount(Router::new());
        (crate::http::serve(&runtime, router, impatient()).await, seen)
    };
    let (served, _) = at(runtime, Place::Server, serve).await;
    let address = served.address;
    let client = move |runtime| async move { client_at(&runtime, address, Options::default()) };
    (served, bystander(runtime, client).await)
}

/// The header of a call.
fn call(stream: u32, method: &str, encoding: &str) -> Vec<u8> {
    let block = [
        request("POST", path(method)),
        field(b"content-type", b"application/grpc"),
        field(b"te", b"trailers"),
        field(b"grpc-encoding", encoding.as_bytes()),
    ];
    frame(HEADERS, END_HEADERS, stream, &block.concat())
}

/// Calls on one connection after the other: header and `body` of each, then nothing more until the server has answered or
/// given up all of them, or at once when it is not `awaited`.
async fn calls<R: Runtime>(
    runtime: &R,
    served: &Served,
    method: &str,
    body: impl Fn(u32) -> Vec<u8> + Send + Sync,
    awaited: bool,
) {
    for _ in 0..ROUNDS {
        // A window for all that is sent back, and no table for fields.
        let settings = [0, 1, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0];
        let mut client = Raw::with_settings(runtime, served.address, &settings).await;
        for n in 0..CALLS {
            let stream = 2 * n + 1;
            let bytes = [call(stream, method, "gzip"), body(stream)].concat();
            if !client.send(&bytes).await {
                break;
            }
            if n % 10 == 0 {
                breathe(runtime).await;
            }
        }
        while awaited && !crate::http2_hostile::in_work(served, 0) {
            breathe(runtime).await;
        }
    }
}

/// Messages that are announced and do not come, that mean much more than they say, or nothing; calls without end.
pub async fn grpc_messages<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    // Four megabytes, the most a server takes, in four thousand bytes; and one byte more.
    let bomb = |bytes: usize| {
        let note = Note { data: vec![0; bytes].into(), ..Note::default() };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&note.encode_to_vec()).expect("compressed");
        framed(1, &encoder.finish().expect("compressed"))
    };
    let (within, past) = (bomb((4 << 20) - 10), bomb(64 << 20));
    let announced = [&[0][..], &(4_u32 << 20).to_be_bytes()].concat();
    let nothing = framed(0, &[]).repeat(2000);
    type Body<'a> = &'a (dyn Fn(u32) -> Vec<u8> + Send + Sync);
    let in_frames = |stream: u32, bytes: &[u8]| -> Vec<u8> {
        bytes.chunks(16_000).flat_map(|part| frame(DATA, 0, stream, part)).collect()
    };
    let silent: Body<'_> = &|stream| frame(DATA, 0, stream, &announced);
    let bombs: Body<'_> =
        &|stream| [in_frames(stream, &within), frame(DATA, END_STREAM, stream, &[])].concat();
    let larger: Body<'_> = &|stream| in_frames(stream, &past);
    let empty: Body<'_> =
        &|stream| [in_frames(stream, &nothing), frame(DATA, END_STREAM, stream, &[])].concat();
    let torn: Body<'_> = &|stream| {
        [frame(DATA, 0, stream, &framed(0, &[])), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    for (name, method, body, awaited) in [
        ("messages that do not come", "Sum", silent, true),
        ("bombs at the limit", "Sum", bombs, true),
        ("bombs past the limit", "Sum", larger, true),
        ("messages of nothing", "Sum", empty, true),
        ("calls that are cancelled", "Never", torn, false),
        ("streams that are cancelled", "Chat", torn, false),
    ] {
        let flood = || calls(&runtime, &served, method, body, awaited);
        withstand(&runtime, name, &mut bystander, flood).await;
        settle(&runtime, &served).await;
    }
}

/// Streams without end of which nothing is taken, or a byte now and then.
pub async fn grpc_streams<R: Runtime>(runtime: R) {
    let (served, mut bystander) = served(&runtime).await;
    for (name, window) in [("streams that nobody takes", 65_535_u32), ("streams with windows of nothing", 0)]
    {
        let flood = || async {
            for _ in 0..ROUNDS {
                let settings = [&[0, 1, 0, 0, 0, 0, 0, 4][..], &window.to_be_bytes()].concat();
                let mut client = Raw::with_settings(&runtime, served.address, &settings).await;
                client.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0])).await;
                for n in 0..CALLS {
                    let stream = 2 * n + 1;
                    let body = frame(DATA, END_STREAM, stream, &framed(0, &[]));
                    client.send(&[call(stream, "Flow", "identity"), body].concat()).await;
                }
                // Acknowledged or not: the server writes until nothing fits.
                client.send(&frame(SETTINGS, 1, 0, &[])).await;
                while !crate::http2_hostile::in_work(&served, 0) {
                    breathe(&runtime).await;
                }
            }
        };
        withstand(&runtime, name, &mut bystander, flood).await;
        settle(&runtime, &served).await;
    }
}
