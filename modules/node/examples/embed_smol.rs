//! Shroud inside one's own smol program.
//!
//! `cargo run --example embed_smol`

use shroud::runtime::net::ListenerExt;
use shroud::runtime::{ListenOptions, Runtime};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let executor = Arc::new(smol::Executor::new());
    smol::block_on(executor.run(async {
        // Tasks of the seam run on the executor that is already there.
        let shroud = shroud::backends::smol::attach(Arc::clone(&executor));

        let mut listener =
            shroud.listen(SocketAddr::from(([127, 0, 0, 1], 0)), ListenOptions::default()).await?;
        let address = shroud::runtime::Listener::local_addr(&listener)?;
        let echo = shroud.spawn("echo", async move {
            let (stream, _) = listener.accept().await?;
            let (reader, mut writer) = futures_util::AsyncReadExt::split(stream);
            futures_util::io::copy(reader, &mut writer).await
        });

        let mut client = smol::net::TcpStream::connect(address).await?;
        client.write_all(b"hello from smol").await?;
        client.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        println!("{answer} ({} bytes echoed by a {} task)", echo.await??, shroud.backend());
        Ok(())
    }))
}
