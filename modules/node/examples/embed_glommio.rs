//! Shroud inside one's own glommio program.
//!
//! `cargo run --example embed_glommio`

use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::{LocalExecutorBuilder, Placement};
use shroud::runtime::net::ListenerExt;
use shroud::runtime::{Backend, ListenOptions, Runtime};
use std::net::SocketAddr;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Err(why) = shroud::backends::glommio::Glommio.probe() {
        println!("glommio cannot run here: {why}");
        return Ok(());
    }
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 20).make()?;
    executor.run(async {
        // Tasks of the seam run on the executor that is already there.
        let shroud = shroud::backends::glommio::attach()?;

        let mut listener =
            shroud.listen(SocketAddr::from(([127, 0, 0, 1], 0)), ListenOptions::default()).await?;
        let address = shroud::runtime::Listener::local_addr(&listener)?;
        let echo = shroud.spawn("echo", async move {
            let (stream, _) = listener.accept().await?;
            let (reader, mut writer) = stream.split();
            futures_util::io::copy(reader, &mut writer).await
        });

        let mut client = glommio::net::TcpStream::connect(address).await?;
        client.write_all(b"hello from glommio").await?;
        client.close().await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        println!("{answer} ({} bytes echoed by a {} task)", echo.await??, shroud.backend());
        Ok(())
    })
}
