//! The process, the memory, the bystanders.

use crate::http::{Raw, Served, get};
use crate::quic_hostile::exchange;
use futures_util::future::join;
use shroud::ghostwire::http::Metrics;
use shroud::runtime::{Backend, Runtime};
use shroud_quic::Connection;
use std::future::Future;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a flood may make the process grow by.
const MOST_GROWTH: u64 = 64 << 20;

/// How often the bystander asks before and after.
const ASKED: usize = 50;

/// Set in the process of one flood.
const ALONE: &str = "SHROUD_ALONE";

/// Runs the test called `name` in a process of its own, so that nobody else's memory is counted.
///
/// # Panics
/// When the test does.
pub fn alone<B, M, F>(backend: &B, name: &str, main: M)
where
    B: Backend,
    M: Fn(B::Runtime) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    if std::env::var_os(ALONE).is_some() {
        crate::run(backend, 1, main);
        return;
    }
    if let Err(why) = backend.probe() {
        println!("SKIPPED {}: {why}", backend.name());
        return;
    }
    // Tests are named without their crate.
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .filter(|line| line.starts_with("flood"))
        .for_each(|line| println!("{}: {line}", backend.name()));
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}\n{faults}", output.status);
    assert!(said.contains("test result: ok. 1 passed"), "it did not run: {said}");
}

/// Somebody who only wants to be served.
pub trait Bystander: Send {
    /// Asks once, and is answered.
    fn ask(&mut self) -> impl Future<Output = ()> + Send;
}

/// On a connection of HTTP/1.1 that was there before.
impl<R: Runtime> Bystander for Raw<R> {
    async fn ask(&mut self) {
        self.send(get("/")).await;
        assert_eq!(self.answer().await.expect("an answer").status, 200);
    }
}

/// Both ends of a QUIC connection.
impl Bystander for (Connection, Connection) {
    async fn ask(&mut self) {
        exchange(&self.0, &self.1).await;
    }
}

/// A client of HTTP/3, with its connection.
impl<R: Runtime> Bystander for crate::http3::Client<R> {
    async fn ask(&mut self) {
        assert_eq!(self.get("/hello").await.2, "hello");
    }
}

/// Runs `attack` while the bystander asks, and holds the process to its promises. Prints what that was like.
///
/// # Panics
/// When the process grows by more than it may, or the bystander is not served.
pub async fn withstand<R: Runtime, T>(
    runtime: &R,
    name: &str,
    bystander: &mut impl Bystander,
    attack: impl Future<Output = T> + Send,
) -> T {
    let mut idle = ask(runtime, bystander, ASKED).await;
    forget_peak();
    let before = memory("VmRSS:");
    let begun = runtime.now();
    let over = AtomicBool::new(false);
    let attack = async {
        let outcome = attack.await;
        over.store(true, Ordering::Relaxed);
        outcome
    };
    let asking = async {
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            times.extend(ask(runtime, bystander, 1).await);
            breathe(runtime).await;
        }
        times
    };
    let (outcome, mut during) = join(attack, asking).await;
    let growth = memory("VmHWM:").saturating_sub(before);
    let took = runtime.now().saturating_duration_since(begun);
    let mut after = ask(runtime, bystander, ASKED).await;
    println!(
        "flood {name}: {took:.1?}, grew by {} KiB; bystander p99 {:?} idle, {:?} during ({} asked), {:?} after",
        growth >> 10,
        p99(&mut idle),
        p99(&mut during),
        during.len(),
        p99(&mut after),
    );
    assert!(growth <= MOST_GROWTH, "{name}: grew by {growth} bytes");
    outcome
}

async fn ask(runtime: &impl Runtime, bystander: &mut impl Bystander, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun: Instant = runtime.now();
        bystander.ask().await;
        times.push(runtime.now().saturating_duration_since(begun));
    }
    times
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

/// Lets others have the thread.
pub async fn breathe(runtime: &impl Runtime) {
    use shroud::runtime::RuntimeExt as _;
    runtime.sleep(Duration::from_micros(200)).await;
}

/// Waits until only the bystander is connected and nothing is in work.
pub async fn settle(runtime: &impl Runtime, served: &Served) {
    use shroud::runtime::RuntimeExt as _;
    while served.metrics.connections() > 1 || !crate::http2_hostile::in_work(served, 0) {
        runtime.sleep(Duration::from_millis(5)).await;
    }
}

/// Connections that the server has accepted so far.
pub fn accepted(metrics: &Metrics) -> usize {
    let mut page = String::new();
    metrics.render(&mut page);
    let count = page.lines().find_map(|line| line.strip_prefix("shroud_http_connections_total "));
    count.and_then(|count| count.parse().ok()).expect("a counter")
}

/// A line of what the kernel says of this process, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("such a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// From here on the peak (VmHWM) is counted anew.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("one's own peak can be forgotten");
}
