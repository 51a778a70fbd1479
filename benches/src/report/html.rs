//! The report as one HTML page without outside resources.

use super::chart::{colour, css, escape};
use super::summary::TABLE_PERCENT;
use super::table::{mebibytes, millis, share, thousands};
use super::{BackendSummary, Cell, Report, blocking, plots};
use crate::stats::Verdict;
use crate::workload::{Kind, Purpose};
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");

impl Report {
    /// The report as a self-contained HTML page.
    #[must_use]
    pub fn html(&self) -> String {
        let mut out = String::with_capacity(1 << 18);
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Shroud: backends compared</title>\n<style>\n{STYLE}</style>\n<main>\n"
        );
        head(&mut out, self);
        workloads(&mut out, self);
        charts(&mut out, self);
        nodes(&mut out, self);
        threads(&mut out, self);
        floors(&mut out, self);
        about(&mut out, self);
        out.push_str("</main>\n</html>\n");
        out
    }
}

fn head(out: &mut String, report: &Report) {
    let metadata = &report.metadata;
    let backends = report.summary.backends.len();
    let _ = write!(
        out,
        "<h1>One node, {backends} backend{}</h1>\n<p>Each ran the same signed transactions, calls and reads over loopback, in fresh \
         processes and directories, and the same transports by themselves, in {} rotated round{}. Every answer was checked.</p>\n",
        plural(backends),
        metadata.rounds,
        plural(metadata.rounds as usize)
    );
    if report.failures.is_empty() {
        out.push_str("<div class=\"banner good\">equal state commitments</div>\n");
    } else {
        out.push_str("<div class=\"banner bad\">the comparison failed</div>\n");
        list(out, &report.failures);
    }
    if metadata.rounds < 6 {
        let _ = writeln!(
            out,
            "<p>With {} round{} an interval is little more than the range that was seen: small differences need more \
             rounds (<code>--rounds 10</code>).</p>",
            metadata.rounds,
            plural(metadata.rounds as usize)
        );
    }
    list(out, &report.notes);
}

fn list(out: &mut String, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ul>\n");
}

fn workloads(out: &mut String, report: &Report) {
    let _ = write!(
        out,
        "<h2>Workloads</h2>\n<p>Cost first: server CPU of one operation, all threads, user and system, from a closed loop of {} \
         connections on one core. The ratio pairs each block with the base's in the same round; it counts as less or more only beyond \
         its interval and the noise floor (what the base differs by from itself). Latencies of transfers and reads are open-loop, Poisson \
         arrivals at {TABLE_PERCENT}% of capacity, timed from the intended start; the others are of the closed loop. HTTP/2, HTTP/3, \
         WebSocket and QUIC are served by a process that does nothing else: HTTP/2 in the clear on 16 connections of 8 requests at a time, HTTP/3 \
         on 8 of 8, echoes of 64 bytes on 32 connections, full handshakes (X25519, ECDSA P-256) of 8 clients, and megabytes (10⁶ bytes) \
         from the server over one stream: its Gbit/s per core are 8,000 over the CPU µs.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th>backend</th><th>operations/s</th><th>CPU µs</th><th>95% interval</th>\
         <th>user</th><th>× base</th><th class=\"left\">verdict</th><th>× floors</th><th>p50 ms</th><th>p90</th><th>p99</th>\
         <th>p99.9</th><th>max</th><th>switches</th><th>batch</th></tr></thead>\n",
        report.metadata.connections.0
    );
    for kind in Kind::ALL {
        let noise = report.summary.noise(kind);
        let noise = noise.map_or(String::new(), |noise| {
            format!(
                " <small>noise floor × {:.3}, {} pair{}</small>",
                noise.factor,
                noise.pairs,
                plural(noise.pairs)
            )
        });
        let _ = writeln!(out, "<tbody><tr><th colspan=\"15\">{}{noise}</th></tr>", kind.name());
        for backend in &report.summary.backends {
            if let Some(cell) = backend.cell(kind) {
                row(out, backend, cell);
            }
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table></div>\n");
}

fn row(out: &mut String, backend: &BackendSummary, cell: &Cell) {
    let latency = cell.open.as_ref().unwrap_or(&cell.closed);
    let ratio = cell.ratio.map_or("base".to_owned(), |ratio| {
        let interval = ratio.interval;
        format!("{:.3} <small>{:.3} - {:.3}</small>", interval.median, interval.low, interval.high)
    });
    let verdict = match cell.verdict {
        Some(Verdict::Less) => "<span class=\"good\">less</span>",
        Some(Verdict::More) => "<span class=\"bad\">more</span>",
        Some(Verdict::Same) => "same",
        None => "",
    };
    let _ = writeln!(
        out,
        "<tr><td>{}</td><td>{} <small>{} - {}</small></td><td>{:.2}</td><td>{:.2} - {:.2}</td><td>{:.0}%</td><td>{ratio}</td>\
         <td class=\"left\">{verdict}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{}</td></tr>",
        escape(&backend.backend),
        thousands(cell.throughput.median),
        thousands(cell.throughput.low),
        thousands(cell.throughput.high),
        cell.cpu_us.median,
        cell.cpu_us.low,
        cell.cpu_us.high,
        cell.user_share * 100.0,
        cell.floors.map_or(String::new(), |floors| format!("{floors:.2}")),
        millis(latency.p50_us),
        millis(latency.p90_us),
        millis(latency.p99_us),
        millis(latency.p999_us),
        millis(latency.max_us),
        cell.switches,
        cell.batch.map_or("-".to_owned(), |batch| format!("{batch:.0}")),
    );
}

fn charts(out: &mut String, report: &Report) {
    let of = |chart: fn(&Report, Kind) -> Option<String>| {
        Kind::ALL.into_iter().filter_map(move |kind| Some((kind.name().to_owned(), chart(report, kind)?)))
    };
    section(
        out,
        report,
        "CPU of an operation",
        "Microseconds on the server, user (strong) and system (pale); each dot is one block of one run.",
        of(plots::cpu).collect(),
    );
    section(
        out,
        report,
        "Latency against load",
        "Open loop: p99 (strong) and p50 (pale) in milliseconds, against the operations a second that arrived.",
        of(plots::knee).collect(),
    );
    section(
        out,
        report,
        "Latency percentiles",
        &format!("Open loop at {TABLE_PERCENT}% of each backend's capacity; one line for each run."),
        of(plots::tail).collect(),
    );
    section(
        out,
        report,
        "Throughput",
        "Operations a second in the closed loop; each dot is one block of one run. Wall time on a shared machine: read it after the cost.",
        of(plots::throughput).collect(),
    );
    section(
        out,
        report,
        "Memory",
        "Proportional set size in MiB: when the node had started (strong), and what the load has added (pale). Dots are runs.",
        plots::memory(report).map(|chart| ("the node's process".to_owned(), chart)).into_iter().collect(),
    );
}

fn section(out: &mut String, report: &Report, title: &str, caption: &str, charts: Vec<(String, String)>) {
    if charts.is_empty() {
        return;
    }
    let _ = write!(out, "<h2>{title}</h2>\n<p>{caption}</p>\n<ul class=\"legend\">");
    for (index, backend) in report.backends.iter().enumerate() {
        let _ =
            write!(out, "<li><i style=\"background:{}\"></i>{}</li>", css(colour(index)), escape(backend));
    }
    out.push_str("</ul>\n<div class=\"cards\">\n");
    for (name, chart) in charts {
        let _ = writeln!(out, "<figure class=\"card\"><h3>{name}</h3>{chart}</figure>");
    }
    out.push_str("</div>\n");
}

fn nodes(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>The node</h2>\n<p>All cores: durable transfers with the node on every core and the client beside it.</p>\n<div class=\"scroll\"><table>\n<thead><tr>\
         <th>backend</th><th>PSS start, MiB</th><th>PSS end</th><th>peak RSS</th><th>threads</th><th>start ms</th>\
         <th>all cores, transfers/s</th><th>CPU µs</th>\
         <th class=\"left\">state commitment</th></tr></thead>\n<tbody>\n",
    );
    for backend in &report.summary.backends {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{:.0}</td><td>{}</td>\
             <td>{}</td><td class=\"left\"><code>{}</code></td></tr>",
            escape(&backend.backend),
            mebibytes(backend.pss_start),
            mebibytes(backend.pss_end),
            mebibytes(backend.peak_rss as f64),
            backend.threads,
            backend.start_ms,
            backend.all_cores.map_or("-".to_owned(), thousands),
            backend.all_cores_cpu_us.map_or("-".to_owned(), |cpu| format!("{cpu:.1}")),
            backend.commitment.as_deref().map_or("differs", |text| text.get(..18).unwrap_or(text)),
        );
    }
    for skipped in &report.skipped {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"wide\" colspan=\"8\">skipped: {}</td></tr>",
            escape(&skipped.backend),
            escape(&skipped.reason)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn threads(out: &mut String, report: &Report) {
    let Some((verdict, good)) = blocking::verdict(report) else { return };
    let _ = write!(
        out,
        "<h2>Is any thread blocked?</h2>\n<p>Blocked is a thread that one poll holds for more than 1 ms: nothing else on it can run. \
         Polls are timed one by one; time for which the kernel gave the processor to another thread meanwhile is in \
         them; off CPU says how much that was. Blocked time is the chance that whatever becomes ready at some moment waits for more than 1 ms for the poll in progress. \
         Task delay is how long a ready task waited to be polled, behind all others that were ready: at capacity that is \
         mostly the queue of requests. Warm-up is not in these numbers.</p>\n<div class=\"banner {}\">{}</div>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th>backend</th><th class=\"left\">load</th><th>task delay µs, p50</th><th>p99</th>\
         <th>p99.9</th><th>max</th><th>poll µs, p99.9</th><th>longest</th><th class=\"left\">whose</th><th>polls</th><th>over 1 ms</th>\
         <th>share</th><th>blocked time</th><th>off CPU</th></tr></thead>\n<tbody>\n",
        if good { "good" } else { "bad" },
        escape(&verdict)
    );
    for backend in &report.summary.backends {
        for seen in &backend.blocking {
            let load = match seen.purpose {
                Purpose::Latency { percent } => format!("{percent}%"),
                Purpose::WarmUp | Purpose::Capacity => "capacity".to_owned(),
            };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"left\">{load}</td><td>{:.0}</td><td>{:.0}</td><td>{:.0}</td><td>{:.0}</td><td>{:.0}</td>\
                 <td>{:.0}</td><td class=\"left\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&backend.backend),
                seen.delay_p50_us,
                seen.delay_p99_us,
                seen.delay_p999_us,
                seen.delay_max_us,
                seen.poll_p999_us,
                seen.longest_us,
                escape(seen.longest.as_deref().unwrap_or("-")),
                thousands(seen.polls as f64),
                seen.blocking,
                share(seen.blocking_share),
                share(seen.blocked_share),
                share(seen.off_cpu_share),
            );
        }
    }
    out.push_str("</tbody></table></div>\n");
}

fn floors(out: &mut String, report: &Report) {
    if report.floors.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Floors</h2>\n<p>What no node on this machine can go below, measured in the same session. \"× floors\" above is an \
         operation's CPU over the sum of the floors it contains.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th>floor</th>\
         <th>µs</th><th class=\"left\">what it is</th><th class=\"left\">part of</th></tr></thead>\n<tbody>\n",
    );
    for floor in &report.floors {
        let of: Vec<&str> = floor.of.iter().map(|kind| kind.name()).collect();
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{:.2}</td><td class=\"wide\">{}</td><td class=\"wide\">{}</td></tr>",
            escape(&floor.name),
            floor.micros,
            escape(&floor.note),
            of.join(", ")
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn about(out: &mut String, report: &Report) {
    let metadata = &report.metadata;
    let unknown = || "unknown".to_owned();
    let cpus = |cpus: &[usize]| match cpus {
        [] => "not held".to_owned(),
        cpus => cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut facts = vec![
        ("command", metadata.command.join(" ")),
        ("version", metadata.version.clone()),
        ("commit", metadata.commit.clone().unwrap_or_else(unknown)),
        ("Cargo.lock", metadata.lock_hash.clone().unwrap_or_else(unknown)),
        ("compiler", metadata.rustc.clone().unwrap_or_else(unknown)),
        ("build", metadata.build.clone()),
        ("seed", metadata.seed.to_string()),
        ("rounds", format!("{} of {}", metadata.rounds, metadata.rounds_planned)),
        ("duration", format!("{:.0} s from {} (Unix time)", metadata.seconds, metadata.started_unix)),
        (
            "processors",
            format!("server {}, client {}", cpus(&metadata.server_cpus), cpus(&metadata.client_cpus)),
        ),
        ("load average", format!("{:.2} before, {:.2} after", metadata.before.load, metadata.after.load)),
        ("stolen time", format!("{:.2}%", metadata.steal * 100.0)),
    ];
    if let Some(machine) = &metadata.machine {
        facts.push(("kernel", machine.kernel.clone()));
        facts.push(("processor", format!("{} x {}", machine.cores, machine.cpu)));
        facts.push(("memory", format!("{} MiB", mebibytes(machine.memory as f64))));
        facts.push(("descriptor limit", machine.descriptor_limit.to_string()));
        let locked = machine
            .locked_memory_limit
            .map_or("none".to_owned(), |bytes| format!("{} MiB", mebibytes(bytes as f64)));
        facts.push(("locked memory limit", locked));
    }
    out.push_str(
        "<h2>About this run</h2>\n<p>Raw data of every phase, with latency histograms, is in <code>report.json</code>.</p>\n\
         <div class=\"scroll\"><table><tbody>\n",
    );
    for (name, value) in facts {
        let _ = writeln!(out, "<tr><td>{name}</td><td class=\"wide\">{}</td></tr>", escape(&value));
    }
    out.push_str("</tbody></table></div>\n");
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn the_page_is_self_contained_and_escapes_what_it_is_told() {
        let html = sample().html();
        assert!(html.contains("no io_uring &lt;here&gt;") && html.contains("a &lt;note&gt;"));
        assert!(!html.contains("<here>") && !html.contains("<note>"));
        for outside in ["<script", "<link", "src=", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert_eq!(html.matches("<svg ").count(), html.matches("</svg>").count());
        assert_eq!(html.matches("<figure").count(), 10 + 2 + 2 + 10 + 1);
    }

    #[test]
    fn a_failure_is_on_top() {
        let mut report = sample();
        report.failures.push("commitments differ".into());
        let html = report.html();
        assert!(html.contains("commitments differ") && !html.contains("equal state commitments"));
    }
}
