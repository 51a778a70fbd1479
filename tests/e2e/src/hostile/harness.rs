//! The process, the memory, the bystanders.

use super::stage::{self, Place, apart, at};
use crate::http::{Raw, Served, get};
use futures_util::future::join;
use shroud::ghostwire::http::{Handler, Limits, Metrics};
use shroud::runtime::{Backend, Runtime, RuntimeExt};
use shroud_quic::{Connection, Endpoint};
use std::future::Future;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a flood may make the process grow by.
const MOST_GROWTH: u64 = 64 << 20;

/// How often the bystander asks before and after.
const ASKED: usize = 50;

/// The same in a measurement, where its first answers do not count.
const ASKED_APART: usize = 500;

/// How long a measured flood lasts at least, repeated if it must be: a percentile of few answers would be the longest of them.
const LASTS: Duration = Duration::from_secs(1);

/// How much longer than idle the bystander may wait during a flood, and at most after it.
const MOST_SLOWER: f64 = 5.0;

/// How long a measurement looks for the bystander's answers to come as before.
const LOOK: Duration = Duration::from_secs(6);

/// When the last flood was over.
static OVER: Mutex<Option<Instant>> = Mutex::new(None);

/// Set in the process of one flood.
const ALONE: &str = "SHROUD_ALONE";

/// Runs the test called `name` in a process of its own, so that nobody else's memory is counted.
///
/// # Panics
/// When the test does.
pub fn alone<B, M, F>(backend: &B, name: &str, main: M)
where
    B: Backend + Clone + Send + 'static,
    M: Fn(B::Runtime) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    if std::env::var_os(ALONE).is_some() {
        stage::set(backend);
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
    let test = name.rsplit("::").next().unwrap_or(name);
    // Both write behind "test NAME ... ".
    println!();
    for line in said.lines() {
        if let Some(at) = line.find("flood ") {
            println!("{} {test}: {}", backend.name(), &line[at..]);
        }
    }
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}\n{faults}", output.status);
    assert!(said.contains("test result: ok. 1 passed"), "it did not run: {said}");
}

/// Somebody who only wants to be served.
pub trait Bystander: Send + 'static {
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

/// A client of QUIC, whose server sends back what it says.
impl<R: Runtime> Bystander for (Endpoint<R>, Connection) {
    async fn ask(&mut self) {
        let (mut send, mut receive) = self.1.open_bi().await.unwrap();
        send.write_all(b"still served").await.unwrap();
        send.finish().unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"still served");
    }
}

/// A client of HTTP/3, with its connection.
impl<R: Runtime> Bystander for crate::http3::Client<R> {
    async fn ask(&mut self) {
        assert_eq!(self.get("/hello").await.2, "hello");
    }
}

/// A bystander in its place; taken out while it asks.
pub struct InPlace<B>(Option<B>);

/// Lets a bystander take its place.
pub async fn bystander<R, B, F>(runtime: &R, make: impl FnOnce(R) -> F + Send + 'static) -> InPlace<B>
where
    R: Runtime,
    B: Bystander,
    F: Future<Output = B> + Send + 'static,
{
    InPlace(Some(at(runtime, Place::Bystander, make).await))
}

/// A bystander over HTTP/1.1.
pub async fn http_bystander<R: Runtime>(runtime: &R, served: &Served) -> InPlace<Raw<R>> {
    let address = served.address;
    bystander(runtime, move |runtime| async move { Raw::connect(&runtime, address).await }).await
}

/// A server in the clear, in its place.
pub async fn served<R: Runtime>(runtime: &R, handler: impl Handler, limits: Limits) -> Served {
    let serve = move |runtime| async move { crate::http::serve(&runtime, handler, limits).await };
    at(runtime, Place::Server, serve).await
}

impl<B> Drop for InPlace<B> {
    fn drop(&mut self) {
        if apart() {
            // It belongs to another thread; the process ends soon.
            std::mem::forget(self.0.take());
        }
    }
}

impl<B: Bystander> InPlace<B> {
    /// Asks as long as `more` says, with some time in between when it is `patient`.
    async fn ask<R: Runtime>(
        &mut self,
        runtime: &R,
        patient: bool,
        mut more: impl FnMut(usize) -> bool + Send + 'static,
    ) -> Vec<Duration> {
        let mut bystander = self.0.take().expect("one question at a time");
        let asking = move |runtime: R| async move {
            let mut times = Vec::new();
            while more(times.len()) {
                let begun: Instant = runtime.now();
                bystander.ask().await;
                times.push(runtime.now().saturating_duration_since(begun));
                if patient {
                    breathe(&runtime).await;
                }
            }
            (bystander, times)
        };
        let (bystander, times) = at(runtime, Place::Bystander, asking).await;
        self.0 = Some(bystander);
        times
    }

    async fn times<R: Runtime>(&mut self, runtime: &R, count: usize) -> Vec<Duration> {
        self.ask(runtime, apart(), move |asked| asked < count).await
    }
}

/// Runs `attack` while the bystander asks, again and again if it is measured, and holds the process to its promises. Prints what
/// that was like; returns what each attack did.
///
/// # Panics
/// When the process grows by more than it may, or the bystander is not served.
pub async fn withstand<R: Runtime, T: Send, F>(
    runtime: &R,
    name: &str,
    bystander: &mut InPlace<impl Bystander>,
    attack: impl Fn() -> F + Send + Sync,
) -> Vec<T>
where
    F: Future<Output = T> + Send,
{
    withstand_within(runtime, name, MOST_GROWTH, bystander, attack).await
}

/// The same, within fewer bytes.
///
/// # Panics
/// As [`withstand`].
pub async fn withstand_within<R: Runtime, T: Send, F>(
    runtime: &R,
    name: &str,
    most: u64,
    bystander: &mut InPlace<impl Bystander>,
    attack: impl Fn() -> F + Send + Sync,
) -> Vec<T>
where
    F: Future<Output = T> + Send,
{
    let asked = if apart() { ASKED_APART } else { ASKED };
    if apart() {
        bystander.times(runtime, asked / 4).await;
    }
    let mut idle = bystander.times(runtime, asked).await;
    if apart() {
        at(runtime, Place::Server, |runtime| async move { runtime.tree().reset_polls() }).await;
    }
    forget_peak();
    let before = memory("VmRSS:");
    let begun = runtime.now();
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let attack = async {
        let mut outcomes = vec![attack().await];
        while apart() && runtime.now().saturating_duration_since(begun) < LASTS {
            outcomes.push(attack().await);
        }
        over.store(true, Ordering::Relaxed);
        outcomes
    };
    let asking = bystander.ask(runtime, true, move |_| !ended.load(Ordering::Relaxed));
    let (outcomes, mut during) = join(attack, asking).await;
    let growth = memory("VmHWM:").saturating_sub(before);
    let took = runtime.now().saturating_duration_since(begun);
    *OVER.lock().expect("a time") = Some(runtime.now());
    let (count, idle, during) = (during.len(), p99(&mut idle), p99(&mut during));
    let mut after = p99(&mut bystander.times(runtime, ASKED).await);
    // A measurement looks when its answers come as before.
    while apart() && after > idle.mul_f64(MOST_SLOWER) && since_over(runtime) < LOOK {
        after = p99(&mut bystander.times(runtime, ASKED).await);
    }
    let micros = |time: Duration| time.as_micros();
    // `benches/floods` reads this.
    println!(
        "flood {name}: {} ms, grew by {} KiB; bystander p99 {} us idle, {} us during ({count} asked), {} us after {} ms",
        took.as_millis(),
        growth >> 10,
        micros(idle),
        micros(during),
        micros(after),
        since_over(runtime).as_millis(),
    );
    if apart() {
        let polls = at(runtime, Place::Server, |runtime| async move { runtime.tree().polls() }).await;
        let kinds = polls.kinds.iter().map(|kind| {
            let (longest, blocking) = (micros(kind.longest), kind.blocking);
            format!("{} {longest} us ({} long, {blocking} beyond 1 ms)", kind.name, kind.long)
        });
        println!("flood polls of the server, the longest by kind: {}", kinds.collect::<Vec<_>>().join(", "));
    }
    assert!(growth <= most, "{name}: grew by {growth} bytes");
    outcomes
}

fn since_over(runtime: &impl Runtime) -> Duration {
    let over = OVER.lock().expect("a time").expect("a flood that is over");
    runtime.now().saturating_duration_since(over)
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

/// Lets others have the thread.
pub async fn breathe(runtime: &impl Runtime) {
    runtime.sleep(Duration::from_micros(200)).await;
}

/// Waits until only the bystander is connected and nothing is in work.
pub async fn settle(runtime: &impl Runtime, served: &Served) {
    quiet(runtime, served).await;
    settled(runtime);
}

/// The same within a flood that is repeated.
pub async fn quiet(runtime: &impl Runtime, served: &Served) {
    while served.metrics.connections() > 1 || !crate::http2_hostile::in_work(served, 0) {
        runtime.sleep(Duration::from_millis(5)).await;
    }
}

/// Says how long after the flood nothing was left of it.
pub fn settled(runtime: &impl Runtime) {
    println!("flood settled: after {} ms", since_over(runtime).as_millis());
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
