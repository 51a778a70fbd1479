//! Clients that send and read as slowly as they like, hold connections for nothing, and leave without a word.

use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_io_sim::chance::Chance;
use shroud_runtime::{ByteStream, ConnectOptions, Runtime, RuntimeExt};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A request for a few KiB of answer.
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n";

/// Goes on until it is dropped. Whatever the server does about it is right, as long as others are served.
pub async fn dawdle<R: Runtime>(runtime: R, server: SocketAddr, mut chance: Chance) {
    loop {
        // An error is how these connections usually end.
        let _ended = once(&runtime, server, &mut chance).await;
        runtime.sleep(Duration::from_millis(chance.between(1, 500))).await;
    }
}

async fn once<R: Runtime>(runtime: &R, server: SocketAddr, chance: &mut Chance) -> io::Result<()> {
    let mut stream = runtime.connect(server, ConnectOptions::default()).await?;
    match chance.below(5) {
        // Says nothing.
        0 => runtime.sleep(Duration::from_secs(chance.between(1, 20))).await,
        // One byte now and then, perhaps never the last.
        1 => {
            let length = chance.index(REQUEST.len() + 1);
            for byte in REQUEST.get(..length).unwrap_or_default() {
                stream.write_all(&[*byte]).await?;
                runtime.sleep(Duration::from_millis(chance.between(1, 400))).await;
            }
        }
        // Many requests, no reading.
        2 => {
            for _ in 0..chance.between(1, 400) {
                stream.write_all(REQUEST).await?;
            }
            runtime.sleep(Duration::from_secs(chance.between(1, 20))).await;
        }
        // A byte of the answer now and then.
        3 => {
            stream.write_all(REQUEST).await?;
            let mut byte = [0];
            for _ in 0..chance.between(1, 100) {
                if stream.read(&mut byte).await? == 0 {
                    break;
                }
                runtime.sleep(Duration::from_millis(chance.between(1, 200))).await;
            }
        }
        // Half a body, then nothing or a reset.
        _ => {
            stream
                .write_all(b"POST / HTTP/1.1\r\nhost: node\r\ncontent-length: 1000\r\n\r\n{\"jsonrpc\":")
                .await?;
            runtime.sleep(Duration::from_millis(chance.between(1, 15_000))).await;
            if chance.coin() {
                return stream.reset();
            }
        }
    }
    Ok(())
}
