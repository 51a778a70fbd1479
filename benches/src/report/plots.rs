//! The report's charts: what each shows, from which data.

use super::chart::{INK, colour, svg, text};
use super::model::{PhaseResult, Report};
use super::summary::{TABLE_PERCENT, blocks, runs};
use super::table::{millis, thousands};
use crate::stats::median;
use crate::workload::{Kind, Purpose};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

const WIDTH: u32 = 560;
const BAR: i32 = 26;
const LABELS: i32 = 118;
const NUMBERS: i32 = 92;
const LINES: (u32, u32) = (WIDTH, 320);

/// A bar with the samples it stands for.
struct Row {
    label: String,
    colour: RGBColor,
    /// Stacked from the left; later parts are paler.
    parts: Vec<f64>,
    samples: Vec<f64>,
    number: String,
}

/// A line.
struct Series {
    colour: RGBColor,
    points: Vec<(f64, f64)>,
    /// Paler and thinner than the main ones.
    faint: bool,
}

/// The x axis of line charts.
enum Axis {
    /// Operations a second.
    Load,
    /// Percentiles, each tenfold rarer event one step further.
    Tail,
}

/// CPU of an operation, user and system, with every block's value.
pub(crate) fn cpu(report: &Report, kind: Kind) -> Option<String> {
    let rows = rows(report, |report, index, name| {
        let cell = report.summary.backends.iter().find(|backend| backend.backend == name)?.cell(kind)?;
        let user = cell.cpu_us.median * cell.user_share;
        Some(Row {
            label: name.to_owned(),
            colour: colour(index),
            parts: vec![user, cell.cpu_us.median - user],
            samples: runs(report, name)
                .flat_map(|slot| blocks(slot, kind))
                .map(|phase| phase.cpu_us)
                .collect(),
            number: format!("{:.1} µs", cell.cpu_us.median),
        })
    })?;
    Some(bars(&format!("server CPU of a {}", kind.name()), &rows))
}

/// Operations a second, with every block's value.
pub(crate) fn throughput(report: &Report, kind: Kind) -> Option<String> {
    let rows = rows(report, |report, index, name| {
        let cell = report.summary.backends.iter().find(|backend| backend.backend == name)?.cell(kind)?;
        Some(Row {
            label: name.to_owned(),
            colour: colour(index),
            parts: vec![cell.throughput.median],
            samples: runs(report, name)
                .flat_map(|slot| blocks(slot, kind))
                .map(|phase| phase.throughput)
                .collect(),
            number: format!("{}/s", thousands(cell.throughput.median)),
        })
    })?;
    Some(bars(&format!("throughput of {}s", kind.name()), &rows))
}

/// Memory after the start, and what the load has added.
pub(crate) fn memory(report: &Report) -> Option<String> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let rows = rows(report, |report, index, name| {
        let backend = report.summary.backends.iter().find(|backend| backend.backend == name)?;
        let (start, end) = (backend.pss_start / f64::from(1 << 20), backend.pss_end / f64::from(1 << 20));
        Some(Row {
            label: name.to_owned(),
            colour: colour(index),
            parts: vec![start, (end - start).max(0.0)],
            samples: runs(report, name).map(|slot| mib(slot.memory_end.pss)).collect(),
            number: format!("{end:.0} MiB"),
        })
    })?;
    Some(bars("memory of the node", &rows))
}

/// Latency against the load that was offered: p50 and p99 of each backend.
pub(crate) fn knee(report: &Report, kind: Kind) -> Option<String> {
    let mut series = Vec::new();
    for (index, name) in report.backends.iter().enumerate() {
        for (faint, value) in [(true, 0), (false, 1)] {
            let mut points: Vec<(f64, f64)> = percents(report, kind)
                .into_iter()
                .filter_map(|percent| {
                    let phases: Vec<&PhaseResult> = open(report, name, kind, percent).collect();
                    let of = |f: &dyn Fn(&PhaseResult) -> f64| {
                        median(&phases.iter().map(|phase| f(phase)).collect::<Vec<_>>())
                    };
                    let latency = of(&|p| if value == 0 { p.latency.p50_us } else { p.latency.p99_us })?;
                    Some((of(&|phase| phase.offered.unwrap_or(phase.throughput))?, latency / 1e3))
                })
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            series.push(Series { colour: colour(index), points, faint });
        }
    }
    lines(&format!("latency of a {} against load", kind.name()), &Axis::Load, &series)
}

/// The distribution of latencies at half of the capacity.
pub(crate) fn tail(report: &Report, kind: Kind) -> Option<String> {
    let series: Vec<Series> = report
        .backends
        .iter()
        .enumerate()
        .flat_map(|(index, name)| {
            open(report, name, kind, TABLE_PERCENT).map(move |phase| Series {
                colour: colour(index),
                points: phase.ladder.iter().map(|(percent, us)| (rarity(*percent), us / 1e3)).collect(),
                faint: false,
            })
        })
        .collect();
    lines(&format!("latency percentiles of a {}", kind.name()), &Axis::Tail, &series)
}

/// 0 for every sample, 1 for one in ten, 2 for one in a hundred, and so on.
fn rarity(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).max(1e-9).log10()
}

fn open<'a>(
    report: &'a Report,
    backend: &'a str,
    kind: Kind,
    percent: u32,
) -> impl Iterator<Item = &'a PhaseResult> + 'a {
    let purpose = Purpose::Latency { percent };
    runs(report, backend)
        .flat_map(|slot| &slot.phases)
        .filter(move |phase| phase.kind == kind && phase.purpose == purpose)
}

fn percents(report: &Report, kind: Kind) -> Vec<u32> {
    let mut percents: Vec<u32> = report
        .slots
        .iter()
        .flat_map(|slot| &slot.phases)
        .filter(|phase| phase.kind == kind)
        .filter_map(|phase| match phase.purpose {
            Purpose::Latency { percent } => Some(percent),
            Purpose::WarmUp | Purpose::Capacity => None,
        })
        .collect();
    percents.sort_unstable();
    percents.dedup();
    percents
}

fn rows(report: &Report, row: impl Fn(&Report, usize, &str) -> Option<Row>) -> Option<Vec<Row>> {
    let rows: Vec<Row> =
        report.backends.iter().enumerate().filter_map(|(index, name)| row(report, index, name)).collect();
    (!rows.is_empty()).then_some(rows)
}

fn bars(title: &str, rows: &[Row]) -> String {
    let height = rows.len() as i32 * BAR + 26;
    let sample = rows.iter().flat_map(|row| row.samples.iter().copied());
    let total = rows.iter().map(|row| row.parts.iter().sum::<f64>());
    let most = sample.chain(total).fold(0.0, f64::max).max(1e-9);
    let room = f64::from(WIDTH as i32 - LABELS - NUMBERS);
    let x = |value: f64| LABELS + (value / most * room).round() as i32;
    svg(title, (WIDTH, height as u32), |area| {
        let step = nice(most / 4.0);
        for tick in (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= most) {
            let line = PathElement::new(vec![(x(tick), 0), (x(tick), height - 20)], INK.mix(0.14));
            area.draw(&line)?;
            area.draw(&Text::new(short(tick), (x(tick), height - 10), text(11, HPos::Center)))?;
        }
        for (index, row) in rows.iter().enumerate() {
            let (top, bottom) = (index as i32 * BAR + 3, index as i32 * BAR + BAR - 5);
            let middle = (top + bottom) / 2;
            area.draw(&Text::new(row.label.clone(), (LABELS - 8, middle), text(13, HPos::Right)))?;
            let mut from = 0.0;
            for (part, value) in row.parts.iter().enumerate() {
                let style = row.colour.mix(if part == 0 { 0.9 } else { 0.45 }).filled();
                area.draw(&Rectangle::new([(x(from), top), (x(from + value), bottom)], style))?;
                from += value;
            }
            for (position, sample) in row.samples.iter().enumerate() {
                // Spread a little, so that equal samples are all seen.
                let y = middle + (position % 5) as i32 * 3 - 6;
                area.draw(&Circle::new((x(*sample), y), 2, INK.mix(0.75).filled()))?;
            }
            let end = row.samples.iter().copied().fold(from, f64::max);
            area.draw(&Text::new(row.number.clone(), (x(end) + 8, middle), text(13, HPos::Left)))?;
        }
        Ok(())
    })
}

fn lines(title: &str, axis: &Axis, series: &[Series]) -> Option<String> {
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    let most_x = points().map(|point| point.0).reduce(f64::max)?;
    let (low, high) = points().fold((f64::MAX, 0.0_f64), |(low, high), (_, y)| (low.min(y), high.max(y)));
    let (low, high) = ((low * 0.8).max(1e-4), (high * 1.25).max(2e-4));
    let description = match axis {
        Axis::Load => "operations a second, offered",
        Axis::Tail => "percentile of requests",
    };
    let drawn = svg(title, LINES, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..most_x * 1.03, (low..high).log_scale())?;
        chart
            .configure_mesh()
            .axis_style(INK.mix(0.5))
            .bold_line_style(INK.mix(0.14))
            .light_line_style(INK.mix(0.04))
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .axis_desc_style(("sans-serif", 13).into_font().color(&INK))
            .x_labels(if matches!(axis, Axis::Tail) { most_x as usize + 1 } else { 6 })
            .y_labels(8)
            .x_desc(description)
            .y_desc("milliseconds")
            .x_label_formatter(&|x| match axis {
                Axis::Load => short(*x),
                Axis::Tail => percentile(*x),
            })
            .y_label_formatter(&|y| millis(y * 1e3))
            .draw()?;
        for line in series {
            let style = line.colour.mix(if line.faint { 0.45 } else { 0.95 }).stroke_width(if line.faint {
                1
            } else {
                2
            });
            chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
            if matches!(axis, Axis::Load) {
                let dots = line.points.iter().map(|point| Circle::new(*point, 3, style.filled()));
                chart.draw_series(dots)?;
            }
        }
        Ok(())
    });
    Some(drawn)
}

fn percentile(rarity: f64) -> String {
    let percent = 100.0 - 100.0 / 10_f64.powf(rarity);
    let digits = (rarity.round() as usize).saturating_sub(2);
    format!("{percent:.digits$}%")
}

/// The next step of 1, 2 or 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-9).log10().floor());
    let scaled = step / power;
    let nice = if scaled <= 1.0 {
        1.0
    } else if scaled <= 2.0 {
        2.0
    } else if scaled <= 5.0 {
        5.0
    } else {
        10.0
    };
    nice * power
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.0}k", value / 1e3)
    } else if value >= 1_000.0 {
        format!("{:.1}k", value / 1e3)
    } else if value >= 10.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn every_chart_is_drawn() {
        let report = sample();
        let mut charts = vec![memory(&report).unwrap()];
        for kind in Kind::ALL {
            charts.extend([cpu(&report, kind).unwrap(), throughput(&report, kind).unwrap()]);
        }
        for kind in [Kind::Transfer, Kind::Read] {
            charts.extend([knee(&report, kind).unwrap(), tail(&report, kind).unwrap()]);
        }
        for chart in charts {
            assert!(
                chart.starts_with("<svg role=\"img\"") && chart.trim_end().ends_with("</svg>"),
                "{chart}"
            );
        }
        assert!(knee(&report, Kind::Plain).is_none());
    }

    #[test]
    fn axes_are_readable() {
        assert_eq!((nice(0.3), nice(7.0), nice(40.0)), (0.5, 10.0, 50.0));
        assert_eq!((percentile(1.0), percentile(3.0)), ("90%".to_owned(), "99.9%".to_owned()));
        assert_eq!((short(0.0), short(1_500.0), short(25_000.0)), ("0".into(), "1.5k".into(), "25k".into()));
        assert!((rarity(99.0) - 2.0).abs() < 1e-9);
    }
}
