//! The report on a terminal: at most 120 columns.

use super::summary::TABLE_PERCENT;
use super::{BackendSummary, Cell, Report, blocking};
use crate::histogram::Percentiles;
use crate::stats::Verdict;
use crate::workload::{Kind, Purpose};
use std::fmt::Write as _;

/// Terminal styles; empty without colour.
struct Style {
    bold: &'static str,
    dim: &'static str,
    good: &'static str,
    bad: &'static str,
    end: &'static str,
}

const COLOUR: Style =
    Style { bold: "\x1b[1m", dim: "\x1b[2m", good: "\x1b[32m", bad: "\x1b[31m", end: "\x1b[0m" };
const PLAIN: Style = Style { bold: "", dim: "", good: "", bad: "", end: "" };

impl Report {
    /// The report as text, at most 120 columns wide.
    #[must_use]
    pub fn table(&self, colour: bool) -> String {
        let style = if colour { &COLOUR } else { &PLAIN };
        let mut out = String::new();
        for kind in Kind::ALL {
            workload(&mut out, self, kind, style);
        }
        backends(&mut out, self, style);
        threads(&mut out, self, style);
        floors(&mut out, self, style);
        closing(&mut out, self, style);
        out
    }
}

fn workload(out: &mut String, report: &Report, kind: Kind, style: &Style) {
    let rows: Vec<(&BackendSummary, &Cell)> =
        report.summary.backends.iter().filter_map(|b| Some((b, b.cell(kind)?))).collect();
    if rows.is_empty() {
        return;
    }
    let open = rows.iter().all(|(_, cell)| cell.open.is_some());
    let load = if open { format!("open loop, {TABLE_PERCENT}% load") } else { "closed loop".to_owned() };
    let noise = report.summary.noise(kind);
    let noise = noise.map_or(String::new(), |noise| format!("  (noise floor x{:.3})", noise.factor));
    let title = format!("{}{noise}", kind.name());
    let Style { bold, dim, end, .. } = style;
    let _ = writeln!(out, "{bold}{title:<77}{end}{dim}latency in ms, {load}{end}");
    let _ = writeln!(
        out,
        "{dim}  {:<15}{:>9} {:>8}  {:<15}{:>5}  {:<12}{:>7}{:>8}{:>8}{:>9}{:>8}{:>7}{end}",
        "backend",
        "ops/s",
        "CPU us",
        "95% interval",
        "user",
        "x of base",
        "p50",
        "p99",
        "p99.9",
        "max",
        "switch",
        "batch"
    );
    for (backend, cell) in rows {
        let latency = cell.open.as_ref().unwrap_or(&cell.closed);
        let _ = writeln!(out, "  {}", row(&backend.backend, cell, latency, style));
    }
    out.push('\n');
}

fn row(backend: &str, cell: &Cell, latency: &Percentiles, style: &Style) -> String {
    let interval = format!("{:.1} - {:.1}", cell.cpu_us.low, cell.cpu_us.high);
    let (colour, ratio) = match (&cell.ratio, cell.verdict) {
        (None, _) => ("", "base".to_owned()),
        (Some(ratio), verdict) => {
            let (colour, word) = match verdict {
                Some(Verdict::Less) => (style.good, " less"),
                Some(Verdict::More) => (style.bad, " more"),
                Some(Verdict::Same) => ("", " same"),
                None => ("", ""),
            };
            (colour, format!("{:.3}{word}", ratio.interval.median))
        }
    };
    let batch = cell.batch.map_or("-".to_owned(), |batch| format!("{batch:.0}"));
    format!(
        "{backend:<15}{:>9} {:>8.1}  {interval:<15}{:>4.0}%  {colour}{ratio:<12}{}{:>7}{:>8}{:>8}{:>9}{:>8.2}{batch:>7}",
        thousands(cell.throughput.median),
        cell.cpu_us.median,
        cell.user_share * 100.0,
        if colour.is_empty() { "" } else { style.end },
        millis(latency.p50_us),
        millis(latency.p99_us),
        millis(latency.p999_us),
        millis(latency.max_us),
        cell.switches,
    )
}

fn backends(out: &mut String, report: &Report, style: &Style) {
    let Style { bold, dim, end, .. } = style;
    let all_cores = report.summary.backends.iter().any(|backend| backend.all_cores.is_some());
    let _ = writeln!(out, "{bold}the node{end}");
    let _ = writeln!(
        out,
        "{dim}  {:<15}{:>18}{:>9}{:>8}   {:<12}{}{end}",
        "backend",
        "PSS MiB, start-end",
        "peak RSS",
        "threads",
        "state",
        if all_cores { "all cores, tx/s" } else { "" }
    );
    for backend in &report.summary.backends {
        let commitment =
            backend.commitment.as_deref().map_or("differs", |text| text.get(..10).unwrap_or(text));
        let cores = match (backend.all_cores, backend.all_cores_cpu_us) {
            (Some(rate), Some(cpu)) => format!("{} at {cpu:.0} us", thousands(rate)),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "  {:<15}{:>18}{:>9}{:>8.0}   {commitment:<12}{cores}",
            backend.backend,
            format!("{} - {}", mebibytes(backend.pss_start), mebibytes(backend.pss_end)),
            mebibytes(backend.peak_rss as f64),
            backend.threads,
        );
    }
    for skipped in &report.skipped {
        let _ = writeln!(out, "  {:<15}{dim}skipped: {}{end}", skipped.backend, skipped.reason);
    }
    out.push('\n');
}

fn threads(out: &mut String, report: &Report, style: &Style) {
    let Some((verdict, good)) = blocking::verdict(report) else { return };
    let Style { bold, dim, end, .. } = style;
    let _ = writeln!(
        out,
        "{bold}{:<49}{end}{dim}blocked: one poll holds a thread for more than 1 ms{end}",
        "is any thread blocked?"
    );
    let _ = writeln!(
        out,
        "{dim}  {:<15}{:<10}{:>10}{:>10}  {:>11}{:>11}  {:<18}{:>9}{:>10}{:>10}{end}",
        "backend",
        "load",
        "delay p50",
        "p99.9 ms",
        "poll p99.9",
        "longest ms",
        "whose",
        "of polls",
        "of time",
        "off CPU"
    );
    for backend in &report.summary.backends {
        for (load, purpose) in
            [("capacity", Purpose::Capacity), ("50%", Purpose::Latency { percent: TABLE_PERCENT })]
        {
            let Some(seen) = backend.blocking(purpose) else { continue };
            let colour = if seen.is_free() { "" } else { style.bad };
            let _ = writeln!(
                out,
                "  {colour}{:<15}{load:<10}{:>10}{:>10}  {:>11}{:>11}  {:<18}{:>9}{:>10}{:>10}{}",
                backend.backend,
                millis(seen.delay_p50_us),
                millis(seen.delay_p999_us),
                millis(seen.poll_p999_us),
                millis(seen.longest_us),
                clip(seen.longest.as_deref().unwrap_or("-"), 18),
                share(seen.blocking_share),
                share(seen.blocked_share),
                share(seen.off_cpu_share),
                if colour.is_empty() { "" } else { end },
            );
        }
    }
    let colour = if good { style.good } else { style.bad };
    let _ = writeln!(out, "  {colour}{verdict}{end}\n");
}

/// A small share, in percent.
pub(crate) fn share(share: f64) -> String {
    if share == 0.0 { "0%".to_owned() } else { format!("{:.4}%", share * 100.0) }
}

fn floors(out: &mut String, report: &Report, style: &Style) {
    let Style { bold, dim, end, .. } = style;
    let _ = writeln!(out, "{bold}floors{end}");
    for floor in &report.floors {
        let _ = writeln!(
            out,
            "  {:<28}{:>9.1} us   {dim}{}{end}",
            floor.name,
            floor.micros,
            clip(&floor.note, 76)
        );
    }
    out.push('\n');
}

fn closing(out: &mut String, report: &Report, style: &Style) {
    let metadata = &report.metadata;
    let machine = metadata.machine.as_ref();
    let _ = writeln!(
        out,
        "{} round{}, {:.0} s, seed {}; {} x {}; {}",
        metadata.rounds,
        if metadata.rounds == 1 { "" } else { "s" },
        metadata.seconds,
        metadata.seed,
        machine.map_or(0, |machine| machine.cores),
        machine.map_or("unknown processor", |machine| clip(&machine.cpu, 40)),
        match (metadata.server_cpus.as_slice(), metadata.client_cpus.as_slice()) {
            ([server], [client]) => format!("server on cpu {server}, client on cpu {client}"),
            _ => "server and client share the processors".to_owned(),
        }
    );
    let _ = writeln!(
        out,
        "load {:.2} before and {:.2} after, {:.1}% of time stolen by the hypervisor",
        metadata.before.load,
        metadata.after.load,
        metadata.steal * 100.0
    );
    for note in &report.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for failure in &report.failures {
        let _ = writeln!(out, "{}failed: {failure}{}", style.bad, style.end);
    }
    if report.failures.is_empty() {
        let runs = report.slots.len() + report.all_cores.len();
        let _ = writeln!(
            out,
            "{}{runs} runs, every answer checked, equal state commitments{}",
            style.good, style.end
        );
    }
}

/// Milliseconds with three significant digits.
pub(crate) fn millis(micros: f64) -> String {
    let millis = micros / 1e3;
    match millis {
        _ if millis >= 100.0 => format!("{millis:.0}"),
        _ if millis >= 10.0 => format!("{millis:.1}"),
        _ if millis >= 1.0 => format!("{millis:.2}"),
        _ => format!("{millis:.3}"),
    }
}

/// A whole number with separators.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / f64::from(1 << 20))
}

fn clip(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(12.0), "12");
        assert_eq!(
            (millis(12.34), millis(1_234.5), millis(123_456.0)),
            ("0.012".into(), "1.23".into(), "123".into())
        );
    }

    #[test]
    fn the_table_fits_120_columns_and_names_everything() {
        let table = sample().table(false);
        for line in table.lines() {
            assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
        }
        for word in [
            "native transfer",
            "tokio+async-io",
            "skipped: no io_uring",
            "noise floor",
            "base",
            "fdatasync",
            "ledger-writer",
        ] {
            assert!(table.contains(word), "{word} is missing:\n{table}");
        }
        assert!(sample().table(true).contains("\x1b[1m"));
    }
}
