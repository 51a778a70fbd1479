//! `shroud-bench idle`.

use crate::arms::{Arm, BODY, available, run_on};
use crate::child::Child;
use clap::Args;
use serde_json::json;
use shroud::backends::REAL;
use shroud_bench::load::{Client, Expected, Lane, Work};
use shroud_bench::stats::{Slope, slope};
use shroud_runtime::Runtime;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;

/// Idle tasks at which memory is read. The first is where the line begins: what the process needs anyway is before it.
const TASKS: [usize; 4] = [10_000, 40_000, 70_000, 100_000];
/// Idle connections at which memory is read: below the usual limit of descriptors on either side.
const CONNECTIONS: [usize; 4] = [500, 2_000, 3_500, 5_000];
/// After the last answer, until buffers that empty themselves have done so.
const SETTLE: Duration = Duration::from_millis(300);

/// Memory of an idle task and of an idle connection on each backend
#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// Only these backends
    #[arg(long, value_delimiter = ',')]
    backends: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a backend needs.
struct Row {
    backend: String,
    task: Slope,
    connection: Slope,
}

impl Idle {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let all: Vec<String> = REAL.map(str::to_owned).to_vec();
        let names = if self.backends.is_empty() { &all } else { &self.backends };
        let mut rows = Vec::new();
        for backend in names {
            if let Some(reason) = available(backend) {
                eprintln!("{backend} skipped: {reason}");
                continue;
            }
            eprintln!("{backend}");
            rows.push(Row {
                backend: backend.clone(),
                task: tasks(backend)?,
                connection: connections(backend)?,
            });
        }
        if self.json {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| json!({ "backend": row.backend, "task": row.task, "connection": row.connection }))
                .collect();
            println!("{:#}", json!({ "tasks": TASKS, "connections": CONNECTIONS, "backends": rows }));
            return Ok(());
        }
        println!(
            "user memory (PSS) of one more, in bytes: slope over {TASKS:?} tasks and {CONNECTIONS:?} connections"
        );
        println!("{:<16}{:>11}{:>8}{:>17}{:>8}", "backend", "idle task", "R2", "idle connection", "R2");
        for Row { backend, task, connection } in &rows {
            println!(
                "{backend:<16}{:>11.0}{:>8.4}{:>17.0}{:>8.4}",
                task.slope, task.r_squared, connection.slope, connection.r_squared
            );
        }
        Ok(())
    }
}

fn tasks(backend: &str) -> Result<Slope, Box<dyn Error>> {
    let mut child = Child::start(&["hold-tasks", backend], &[])?;
    let mut points = Vec::new();
    for count in TASKS {
        child.ask(&count.to_string())?;
        points.push((count as f64, child.process.memory()?.pss as f64));
    }
    slope(&points).ok_or_else(|| "no line through the points".into())
}

/// Each connection has asked once and waits with its keep-alive open.
fn connections(backend: &str) -> Result<Slope, Box<dyn Error>> {
    let arm = Arm::over(backend).ok_or_else(|| format!("no server over backend {backend}"))?;
    let (server, address) = Child::server(arm, &[])?;
    let (mut clients, mut open, mut points) = (Vec::new(), 0, Vec::new());
    for count in CONNECTIONS {
        let more = count - open;
        let mut client = Client::connect(address, more)?;
        let mut lane = Lane::default();
        lane.push(b"GET / HTTP/1.1\r\nhost: node\r\n\r\n", Expected::Body(BODY.to_vec()));
        let outcome = client.closed_loop(&Work { lanes: vec![lane; more] }, 1)?;
        if let Some(error) = outcome.first_error {
            return Err(format!("{backend}: {error}").into());
        }
        clients.push(client);
        open = count;
        std::thread::sleep(SETTLE);
        points.push((count as f64, server.process.memory()?.pss as f64));
    }
    slope(&points).ok_or_else(|| "no line through the points".into())
}

/// The child of [`tasks`]: each line of standard input says how many idle tasks there shall be.
pub(crate) fn hold_tasks(backend: &str) -> Result<(), Box<dyn Error>> {
    run_on(backend, Hold)
}

#[derive(Clone)]
struct Hold;

impl crate::arms::Program for Hold {
    async fn main<R: Runtime>(self, runtime: R) -> std::io::Result<()> {
        let mut held = 0_usize;
        loop {
            let line = runtime.offload(|| {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).map(|_| line)
            });
            let line = line.await??;
            let Ok(wanted) = line.trim().parse::<usize>() else { return Ok(()) };
            for _ in held..wanted {
                runtime.spawn("idle", std::future::pending::<()>()).detach();
            }
            held = held.max(wanted);
            // Every task has been polled once when the ones behind it have.
            runtime.spawn("last", async {}).await.map_err(std::io::Error::other)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{held}")?;
            out.flush()?;
        }
    }
}
