//! Shroud inside one's own Tokio program: the seam's tasks and sockets run on the Tokio that is already there.
//!
//! `cargo run --example embed_tokio`

use shroud::runtime::net::ListenerExt;
use shroud::runtime::{ListenOptions, Runtime};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Takes the current Tokio; nothing is started.
    let shroud = shroud::backends::tokio::attach()?;

    let mut listener = shroud.listen(SocketAddr::from(([127, 0, 0, 1], 0)), ListenOptions::default()).await?;
    let address = shroud::runtime::Listener::local_addr(&listener)?;
    let echo = shroud.spawn("echo", async move {
        let (stream, _) = listener.accept().await?;
        let (reader, mut writer) = futures_util::AsyncReadExt::split(stream);
        futures_util::io::copy(reader, &mut writer).await
    });

    // The rest of the program goes on with Tokio's own types.
    let mut client = tokio::net::TcpStream::connect(address).await?;
    client.write_all(b"hello from tokio").await?;
    client.shutdown().await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    println!("{answer} ({} bytes echoed by a {} task)", echo.await??, shroud.backend());
    Ok(())
}
