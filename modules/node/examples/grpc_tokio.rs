//! gRPC inside one's own Tokio program: a service of prost's messages, and a client that calls it.
//!
//! `cargo run --example grpc_tokio`

use futures_util::stream;
use prost::Message;
use shroud::ghostwire::grpc::{Client, Options, Request, Response, Server, Service, Status, Streaming};
use shroud::ghostwire::http::{self, ClientLimits, Limits, Router};
use shroud::runtime::net::Listener;
use shroud::runtime::{ListenOptions, Runtime};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

/// `message Line { string text = 1; }`: as prost-build would have made it.
#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(string, tag = "1")]
    text: String,
}

fn line(text: impl Into<String>) -> Line {
    Line { text: text.into() }
}

/// `service Lines { rpc Shout(Line) returns (Line); rpc Join(stream Line) returns (Line); }`
fn lines() -> Service {
    Service::new("example.Lines")
        .unary("Shout", |request: Request<Line>| async move {
            Ok(Response::new(line(request.message.text.to_uppercase())))
        })
        .client_streaming("Join", |request: Request<Streaming<Line>>| async move {
            let (mut lines, mut all) = (request.message, Vec::new());
            while let Some(line) = lines.message().await? {
                all.push(line.text);
            }
            Ok::<_, Status>(Response::new(line(all.join(" "))))
        })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Takes the current Tokio; nothing is started.
    let shroud = shroud::backends::tokio::attach()?;

    let server = Server::new(&shroud, Options::default()).with(lines());
    // Other paths of the router are ordinary HTTP.
    let server = http::Server::new(server.mount(Router::new()), Limits::default())?;
    let listener = shroud.listen(SocketAddr::from(([127, 0, 0, 1], 0)), ListenOptions::default()).await?;
    let address = listener.local_addr()?;
    let inner = shroud.clone();
    let serving = shroud.spawn("serve", async move { server.serve(&inner, listener).await });

    let http = http::Client::new(shroud.clone(), ClientLimits::default());
    let client = Client::new(&http, &format!("http://{address}").parse()?, Options::default())?;
    let request = Request::new(line("hello")).with_timeout(Duration::from_secs(5));
    let shout: Response<Line> = client.unary("/example.Lines/Shout", request).await?;
    let words = Request::new(stream::iter(["over", "our", "own", "HTTP/2"].map(line)));
    let joined: Response<Line> = client.client_streaming("/example.Lines/Join", words).await?;
    println!("{} {} ({})", shout.message.text, joined.message.text, shroud.backend());

    // The node's way to stop: the server drains, then its future ends.
    drop((client, http));
    shroud.stopping().cancel();
    serving.await??;
    Ok(())
}
