//! What is printed: Markdown that goes into `BENCHMARKS.md` as it is.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::{Measured, Pace};
use crate::target::Target;

/// One server's results.
pub(crate) struct Section {
    pub name: &'static str,
    pub start: Duration,
    pub idle_kib: u64,
    pub rows: Vec<(&'static str, Measured)>,
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

/// A dash where there is nothing to compare with.
fn ratio(of: f64, base: Option<f64>) -> String {
    base.filter(|base| *base > 0.0).map_or_else(|| "-".to_owned(), |base| format!("{:.1}", of / base))
}

/// Calls per second are compared with moto's, processor time with the bare HTTP stack's.
pub(crate) fn report(sections: &[Section], binary_bytes: u64, pace: &Pace, micro: &[(&'static str, Duration)]) -> String {
    let section_of = |name: &str| sections.iter().find(|section| section.name == name);
    let (moto, bare) = (section_of("moto"), section_of(Target::BARE));
    let mut text = format!("{} clients, {} s a row, HTTP/1.1 with keep-alive on loopback.\n\n", pace.clients, pace.time.as_secs());
    text += "| call | server | calls/s | p50 ms | p99 ms | server CPU µs/call | times the bare stack's CPU | times moto |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---:|\n";
    let calls = sections.first().map(|section| section.rows.iter().map(|(name, _)| *name).collect::<Vec<_>>()).unwrap_or_default();
    for call in calls {
        let row = |section: &Section| section.rows.iter().find(|(name, _)| *name == call).map(|(_, measured)| *measured);
        let moto_calls = moto.and_then(row).map(|measured| measured.calls_per_second);
        let bare_cpu = bare.and_then(row).map(|measured| measured.cpu.as_secs_f64());
        for section in sections {
            let Some(measured) = row(section) else { continue };
            let _ = writeln!(
                text,
                "| {call} | {} | {:.0} | {} | {} | {:.1} | {} | {} |",
                section.name,
                measured.calls_per_second,
                milliseconds(measured.median),
                milliseconds(measured.p99),
                measured.cpu.as_secs_f64() * 1e6,
                ratio(measured.cpu.as_secs_f64(), bare_cpu),
                ratio(measured.calls_per_second, moto_calls)
            );
        }
    }
    text += "\n| server | start to first answer ms | resident after the start MiB |\n|---|---:|---:|\n";
    for section in sections {
        let _ = writeln!(text, "| {} | {} | {} |", section.name, milliseconds(section.start), section.idle_kib / 1024);
    }
    let _ = writeln!(text, "\nSize of the release binary: {} MiB.\n", binary_bytes / 1024 / 1024);
    text += "| hot path alone | µs |\n|---|---:|\n";
    for (name, time) in micro {
        let _ = writeln!(text, "| {name} | {:.2} |", time.as_secs_f64() * 1e6);
    }
    text
}
