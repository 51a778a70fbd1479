//! A small, made-up report for the tests of its presentations.

use super::*;
use crate::histogram::Latencies;
use crate::proc::Memory;
use crate::workload::{Kind, Purpose};
use std::time::Duration;

/// Two rounds of two backends.
pub(crate) fn sample() -> Report {
    let slot = |round: u32, backend: &str, again: bool, cost: f64| Slot {
        round,
        backend: backend.into(),
        again,
        start_ms: 40.0,
        stop_ms: 10.0,
        phases: phases(cost),
        memory_start: Memory { rss: 20 << 20, pss: 18 << 20, peak_rss: 21 << 20 },
        memory_end: Memory { rss: 90 << 20, pss: 88 << 20, peak_rss: 91 << 20 },
        threads: 5,
        descriptors: 300,
        probes: [Purpose::Capacity, Purpose::Latency { percent: 50 }].map(probe).into(),
        height: 77,
        transactions: 9_999,
        commitment: "0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff".into(),
    };
    let mut report = Report {
        metadata: Metadata { rounds: 2, rounds_planned: 2, quick: true, ..Metadata::default() },
        floors: vec![Floor {
            name: "fdatasync".into(),
            micros: 312.0,
            note: "sync".into(),
            of: vec![Kind::Transfer],
        }],
        backends: vec!["tokio".into(), "tokio+async-io".into()],
        skipped: vec![Skipped { backend: "glommio".into(), reason: "no io_uring <here>".into() }],
        slots: (0..2)
            .flat_map(|round| {
                [
                    slot(round, "tokio", false, 30.0 + f64::from(round)),
                    slot(round, "tokio+async-io", false, 60.0),
                    slot(round, "tokio", true, 30.5),
                ]
            })
            .collect(),
        all_cores: vec![slot(0, "tokio", false, 35.0), slot(0, "tokio+async-io", false, 70.0)],
        failures: Vec::new(),
        notes: vec!["a <note>".into()],
        summary: Summary::default(),
    };
    report.summary = Summary::new(&report);
    report
}

/// 100,000 polls in two seconds of one thread, one of which blocks it.
fn probe(purpose: Purpose) -> Probe {
    let delay = Delay {
        samples: 900,
        p50_us: 5.0,
        p99_us: 300.0,
        p999_us: 900.0,
        max_us: 12_000.0,
        buckets: vec![(5.1, 890), (320.0, 9), (13_000.0, 1)],
    };
    let task = |name: &str, blocking, max_us| TaskPolls {
        name: name.into(),
        class: "transaction".into(),
        long: 75,
        blocking,
        max_us,
    };
    let polls = Polls {
        polls: 100_000,
        at_most_us: 64.0,
        p50_us: 64.0,
        p99_us: 64.0,
        p999_us: 73.7,
        max_us: 1_400.0,
        longest: Some("ledger-writer".into()),
        blocking: 1,
        excess_us: 400.0,
        buckets: vec![(73.7, 149), (1_441.8, 1)],
        tasks: vec![task("ledger-writer", 1, 1_400.0), task("verify", 0, 73.0)],
    };
    Probe { purpose, off_cpu_us: 100_000.0, seen: Seen { seconds: 2.0, threads: 1, delay, polls } }
}

fn phases(cost: f64) -> Vec<PhaseResult> {
    use Purpose::{Capacity, Latency};
    let mut phases = Vec::new();
    for kind in Kind::ALL {
        phases.extend([phase(kind, Capacity, cost), phase(kind, Capacity, cost * 1.01)]);
    }
    for percent in [25, 50, 75, 90] {
        for kind in [Kind::Transfer, Kind::Read] {
            phases.push(phase(kind, Latency { percent }, cost * f64::from(percent)));
        }
    }
    phases
}

#[test]
fn the_summary_pairs_runs_of_the_same_round() {
    let summary = sample().summary;
    assert_eq!(summary.base, "tokio");
    let base = summary.backends[0].cell(Kind::Transfer).unwrap();
    assert!(base.ratio.is_none() && base.throughput.samples == 4);
    let other = summary.backends[1].cell(Kind::Transfer).unwrap();
    let ratio = other.ratio.unwrap().interval;
    assert!((1.93..=2.01).contains(&ratio.median) && ratio.samples == 4, "{ratio:?}");
    assert_eq!(other.verdict, Some(crate::stats::Verdict::More));
    let noise = summary.noise(Kind::Transfer).unwrap();
    assert!(noise.factor > 1.0 && noise.factor < 1.03 && noise.pairs == 4, "{noise:?}");
    assert!(other.open.is_some() && summary.backends[1].cell(Kind::Plain).unwrap().open.is_none());
}

#[test]
fn json_is_read_back() {
    let report = sample();
    let back: Report = serde_json::from_slice(&serde_json::to_vec(&report).unwrap()).unwrap();
    assert_eq!(back.summary.backends.len(), report.summary.backends.len());
    assert_eq!(back.summary.noise.len(), Kind::ALL.len());
    assert_eq!(back.slots.len(), report.slots.len());
    assert_eq!(back.slots[0].probes, report.slots[0].probes);
}

#[test]
fn json_tells_of_blocked_threads_where_the_documentation_says() {
    let json = serde_json::to_value(sample()).unwrap();
    let probe = &json["slots"][0]["probes"][0];
    assert_eq!(probe["purpose"], "capacity");
    assert_eq!(json["slots"][0]["probes"][1]["purpose"]["latency"]["percent"], 50);
    for field in ["p50_us", "p99_us", "p999_us", "max_us"] {
        assert!(probe["delay"][field].is_f64() && probe["polls"][field].is_f64(), "{field}: {probe}");
    }
    assert_eq!(probe["off_cpu_us"], 100_000.0);
    assert_eq!(probe["polls"]["tasks"][0]["name"], "ledger-writer");
    let summary = &json["summary"]["backends"][0]["blocking"][0];
    for field in
        ["delay_p999_us", "poll_p999_us", "longest_us", "blocking_share", "blocked_share", "off_cpu_share"]
    {
        assert!(summary[field].is_f64(), "{field}: {summary}");
    }
    assert_eq!(summary["longest"], "ledger-writer");
}

#[test]
fn both_files_are_written() {
    let directory = tempfile::tempdir().unwrap();
    sample().write(&directory.path().join("out")).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(directory.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["report.html", "report.json"]);
}

fn phase(kind: Kind, purpose: Purpose, cost: f64) -> PhaseResult {
    let mut latencies = Latencies::default();
    for step in 1..=2_000_u32 {
        latencies.record(Duration::from_secs_f64(cost * f64::from(step) * 1e-6));
    }
    PhaseResult {
        kind,
        purpose,
        operations: 2_000,
        seconds: 0.1,
        offered: matches!(purpose, Purpose::Latency { .. }).then_some(cost * 10.0),
        throughput: 1e6 / cost,
        cpu_us: cost,
        user_share: 0.6,
        voluntary: 0.2,
        involuntary: 0.1,
        batch: kind.durable().then_some(40.0),
        client_busy: 0.5,
        client_lag_us: None,
        latency: latencies.percentiles(),
        ladder: latencies.ladder(),
        hdr: String::new(),
    }
}
