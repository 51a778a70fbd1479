//! How fast the simulator itself is: one server and three clients, each with one exchange a second, for some virtual hours.
//!
//! `cargo run --release -p shroud-sim --example light_load -- [VIRTUAL SECONDS]`

use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::net::ListenerExt;
use shroud_runtime::{ConnectOptions, ListenOptions, Runtime, RuntimeExt};
use shroud_sim::{HostConfig, SimConfig, Simulation};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const BYTES: usize = 500;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(36_000);
    let simulation = Simulation::new(SimConfig::seed(1));
    let server = simulation.host(HostConfig::new("server"));
    let address = SocketAddr::new(server.address(), 80);
    server.start(1, |rt| async move {
        let any = SocketAddr::from(([0, 0, 0, 0], 80));
        let mut listener = rt.listen(any, ListenOptions::default()).await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            rt.spawn("connection", async move {
                let mut buffer = [0; BYTES];
                while stream.read_exact(&mut buffer).await.is_ok() && stream.write_all(&buffer).await.is_ok()
                {
                }
            })
            .detach();
        }
        #[allow(unreachable_code, reason = "tells the type")]
        Ok::<_, std::io::Error>(())
    });
    for number in 0..3 {
        simulation.host(HostConfig::new(format!("client {number}"))).start(1, move |rt| async move {
            rt.sleep(Duration::from_millis(1)).await;
            let mut stream = rt.connect(address, ConnectOptions::default()).await?;
            let mut buffer = [7; BYTES];
            loop {
                stream.write_all(&buffer).await?;
                stream.read_exact(&mut buffer).await?;
                rt.sleep(Duration::from_secs(1)).await;
            }
            #[allow(unreachable_code, reason = "tells the type")]
            Ok::<_, std::io::Error>(())
        });
    }
    let started = Instant::now();
    let outcome = simulation.run_until(Duration::from_secs(seconds));
    let took = started.elapsed().as_secs_f64();
    println!("{outcome}");
    println!(
        "{took:.2} s: {:.0} events a second, {:.0} virtual seconds a second",
        outcome.events as f64 / took,
        outcome.time.as_secs_f64() / took
    );
}
