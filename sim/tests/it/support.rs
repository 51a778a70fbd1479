//! What the tests share.

use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::net::ListenerExt;
use shroud_runtime::{ConnectOptions, ListenOptions, Runtime, RuntimeExt};
use shroud_sim::{Host, HostConfig, Recording, SimConfig, SimRuntime, Simulation};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) const PORT: u16 = 80;

/// A simulation with a server and a client, nothing running on them yet.
pub(crate) fn pair(seed: u64) -> (Simulation, Host, Host) {
    let simulation = Simulation::new(SimConfig { recording: Recording::All, ..SimConfig::seed(seed) });
    let server = simulation.host(HostConfig::new("server"));
    let client = simulation.host(HostConfig::new("client"));
    (simulation, server, client)
}

/// Any address of a host, on the port of the tests.
pub(crate) fn any() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], PORT))
}

/// Echoes what comes, on every connection.
pub(crate) async fn echo(rt: SimRuntime) -> io::Result<()> {
    let mut listener = rt.listen(any(), ListenOptions::default()).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        rt.spawn("echo", async move {
            let mut buffer = vec![0; 1000];
            loop {
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    return stream.close().await;
                }
                stream.write_all(buffer.get(..length).unwrap_or_default()).await?;
            }
        })
        .detach();
    }
}

/// Connects until somebody listens.
pub(crate) async fn connect<R: Runtime>(rt: &R) -> R::Stream {
    loop {
        let address = rt.lookup("server", PORT).await.expect("it has a name")[0];
        match rt.connect(address, ConnectOptions::default()).await {
            Ok(stream) => return stream,
            Err(_) => rt.sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Sends bytes and reads them back.
pub(crate) async fn exchange<S: shroud_runtime::ByteStream>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await?;
    assert!(answer == bytes, "a stream's bytes are never changed");
    Ok(())
}
