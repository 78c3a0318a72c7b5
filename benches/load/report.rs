//! The tables, in Markdown, and what each figure has to reach. Nothing here fails a run: a figure
//! that misses its target says so.

use std::time::Duration;

use crate::driver::Round;
use crate::memory::{Growth, Resting};
use crate::options::{RowName, StoreName};
use crate::revocations::{ENTRIES, Figures, LISTENERS, POLL_INTERVAL};
use crate::rotation::Rotation;
use crate::rows::Row;
use crate::storm::Storm;

/// What a hashing thread may add to the idle process: its memory, and a little around it.
const HASHING_BLOCK_MIB: f64 = 19.0;

/// What the tables may vary without having grown.
const SLACK_MIB: f64 = 4.0;

/// The share of its limit that a row has to reach.
fn least_share(row: RowName, store: StoreName) -> Option<f64> {
    match (row, store) {
        (RowName::Jwks, _) => Some(0.85),
        (RowName::ClientCredentials, _) => Some(0.75),
        (RowName::Refresh, StoreName::Postgres) => Some(0.60),
        (RowName::Refresh, StoreName::Embedded) => Some(0.50),
        (RowName::Login, _) => Some(0.90),
        _ => None,
    }
}

/// The best of the comparable services, requests a CPU second, for scale: measured the same way,
/// on another machine.
fn best_peer(row: RowName) -> Option<(&'static str, f64)> {
    match row {
        RowName::Jwks => Some(("Rauthy", 51_620.0)),
        RowName::ClientCredentials => Some(("oidc-provider", 2026.0)),
        RowName::Refresh => Some(("FastAPI + PyJWT", 1650.0)),
        RowName::Introspection => Some(("oidc-provider", 7432.0)),
        _ => None,
    }
}

pub fn rows(store: StoreName, rows: &[Row]) {
    let median = |row: &Row, share| {
        time(Duration::from_secs_f64(row.figure(|r| r.latencies.percentile(share).as_secs_f64())))
    };
    let mut table = Table::new(&[
        "row",
        "requests/s",
        "p50",
        "p99",
        "server CPU a request",
        "server busy",
        "driver busy",
        "others on its core",
        "errors",
    ]);
    for row in rows {
        table.push([
            row.name.as_str().to_owned(),
            count(row.figure(Round::per_second)),
            median(row, 0.5),
            median(row, 0.99),
            time(Duration::from_secs_f64(1.0 / row.figure(Round::per_cpu_second))),
            percent(row.figure(Round::server_busy)),
            percent(row.figure(Round::driver_busy)),
            percent(row.figure(Round::others_busy)),
            row.errors().count.to_string(),
        ]);
    }
    table.print();
    limits(store, rows);
    for row in rows {
        if let Some(first) = row.errors().first {
            println!("{}: first error: {first}", row.name.as_str());
        }
    }
}

fn limits(store: StoreName, rows: &[Row]) {
    let mut table = Table::new(&[
        "row",
        "a server CPU second",
        "limit",
        "a CPU second",
        "reached",
        "target",
        "",
        "best peer, for scale",
    ]);
    for row in rows {
        let per_cpu = row.figure(Round::per_cpu_second);
        let (ratio, target) = (row.ratio(), least_share(row.name, store));
        let verdict = match (ratio, target, best_peer(row.name)) {
            (Some(ratio), Some(target), _) => met(ratio >= target),
            (None, _, Some((_, peer))) => met(per_cpu > peer),
            _ => "",
        };
        let peer = |(name, rate)| format!("{} ({name})", count(rate));
        table.push([
            row.name.as_str().to_owned(),
            count(per_cpu),
            row.limit_name.to_owned(),
            row.limit().map(count).unwrap_or_default(),
            ratio.map(percent).unwrap_or_default(),
            target.map(|target| format!("≥ {}", percent(target))).unwrap_or_default(),
            verdict.to_owned(),
            best_peer(row.name).map(peer).unwrap_or_default(),
        ]);
    }
    table.print();
}

pub fn storm(storm: &Storm) {
    let (alone, stormed) = (storm.alone.percentile(0.99), storm.stormed.percentile(0.99));
    let times = stormed.as_secs_f64() / alone.as_secs_f64();
    let mut table = Table::new(&["storm", "figure", "target", ""]);
    let pace = |latencies: &crate::stats::Latencies| {
        let (p50, p99) = (latencies.percentile(0.5), latencies.percentile(0.99));
        format!("p50 {}, p99 {} ({} refreshes)", time(p50), time(p99), latencies.len())
    };
    table.line("refresh alone, 50/s", pace(&storm.alone), "", "");
    table.line("refresh in the storm, 50/s", pace(&storm.stormed), "", "");
    table.line("its p99 against alone", format!("{times:.1} times"), "< 3 times", met(times < 3.0));
    let below = stormed < Duration::from_millis(15);
    table.line("its p99", time(stormed), "< 15 ms", met(below));
    let refused = &storm.refused_refreshes;
    table.line("refreshes refused", refused.count.to_string(), "0", met(refused.count == 0));
    let (logins, hashes) = (storm.logins_per_second(), storm.hashes_per_cpu_second());
    let rate = format!("{logins:.1}/s of {hashes:.1}/s, {}", percent(storm.login_ratio()));
    table.line("logins of bare hashes", rate, "≥ 90 %", met(storm.login_ratio() >= 0.9));
    table.line("logins refused", storm.refused_logins.count.to_string(), "", "");
    table.line("login latency, 8 clients", pace_of_logins(storm), "", "");
    let late = time(storm.lateness.percentile(0.99));
    table.line("sent late by the driver, p99", late, "", "");
    table.print();
    for errors in [&storm.refused_refreshes, &storm.refused_logins] {
        if let Some(first) = &errors.first {
            println!("first refusal: {first}");
        }
    }
}

pub fn rotation(rotation: &Rotation) {
    let mut table = Table::new(&["rotation of signing keys", "figure", "target", ""]);
    let shown = |latencies: &crate::stats::Latencies| {
        let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| time(latencies.percentile(share)));
        format!("p50 {p50}, p99 {p99}, worst {worst} ({} requests)", latencies.len())
    };
    let (calm, calm_worst) = (rotation.calm.percentile(0.99), rotation.calm.percentile(1.0));
    let worst = rotation.beside.percentile(1.0);
    table.line("tokens, 200/s, no rotation near", shown(&rotation.calm), "", "");
    table.line("tokens beside a rotation", shown(&rotation.beside), "", "");
    // What is no worse than the worst without one is not the rotation's doing.
    let below = worst <= calm_worst.max(calm + Duration::from_millis(5));
    let excess = time(worst.saturating_sub(calm));
    let target = "≤ 5 ms, or no worse than without";
    table.line("the worst of these over the calm p99", excess, target, met(below));
    table.line("changes of the key set", rotation.changes.to_string(), "", "");
    let errors = &rotation.errors;
    table.line("requests refused", errors.count.to_string(), "0", met(errors.count == 0));
    table.print();
    if let Some(first) = &errors.first {
        println!("first refusal: {first}");
    }
}

pub fn revocations(figures: &Figures) {
    let mut table = Table::new(&["revocations", "figure", "target", ""]);
    let shown = |latencies: &crate::stats::Latencies| {
        let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| time(latencies.percentile(share)));
        format!("p50 {p50}, p99 {p99}, worst {worst} ({})", latencies.len())
    };
    let p99 = |latencies: &crate::stats::Latencies| latencies.percentile(0.99);
    let soon = p99(&figures.streamed) < Duration::from_millis(250);
    let line = "acknowledged to refused by a verifier, stream";
    table.line(line, shown(&figures.streamed), "p99 < 250 ms", met(soon));
    let soon = figures.polled.percentile(1.0) < POLL_INTERVAL + Duration::from_millis(250);
    let line = "the same by polling once a second";
    table.line(line, shown(&figures.polled), "< 1.25 s", met(soon));
    let soon = p99(&figures.told) < Duration::from_secs(1);
    let line = format!("acknowledged to told, {LISTENERS} listeners");
    table.line(&line, shown(&figures.told), "p99 < 1 s", met(soon));
    table.line("refresh without them, 50/s", shown(&figures.refresh_alone), "", "");
    let doubled = p99(&figures.refresh_beside) <= p99(&figures.refresh_alone) * 2;
    let line = "refresh beside them, 5 revocations/s";
    table.line(line, shown(&figures.refresh_beside), "p99 ≤ twice", met(doubled));
    let share = figures.statement / figures.static_answer;
    let line = format!("statement of {ENTRIES} entries, {:.1} MB", figures.bytes as f64 / 1e6);
    let rates = format!(
        "{:.0} a server CPU second, static answer {:.0}: {:.0} %",
        figures.statement,
        figures.static_answer,
        share * 100.0
    );
    table.line(&line, rates, "≥ 50 %", met(share >= 0.5));
    let quick = figures.loaded < Duration::from_millis(50);
    table.line("taken by a verifier in", time(figures.loaded), "< 50 ms", met(quick));
    table.print();
}

fn pace_of_logins(storm: &Storm) -> String {
    let latencies = &storm.login_latencies;
    format!("p50 {}, p99 {}", time(latencies.percentile(0.5)), time(latencies.percentile(0.99)))
}

pub fn resting(resting: &Resting, hashing_threads: usize) {
    let mut table = Table::new(&["embedded default, nothing set", "figure", "target", ""]);
    table.line("first start to first answer, keys made", time(resting.first_start), "", "");
    let soon = resting.start < Duration::from_secs(1);
    table.line("cold start to first answer", time(resting.start), "< 1 s", met(soon));
    for (name, mib) in [
        ("idle memory, first start", resting.idle_first_mib),
        ("idle memory, later starts", resting.idle_mib),
    ] {
        table.line(name, mebibytes(mib), "< 30 MiB", met(mib < 30.0));
    }
    let most = resting.idle_mib + HASHING_BLOCK_MIB * hashing_threads as f64 + SLACK_MIB;
    let (after, target) = (resting.after_logins_mib, format!("≤ {}", mebibytes(most)));
    table.line("memory after logins", mebibytes(after), &target, met(after <= most));
    table.print();
}

pub fn growth(growth: &Growth) {
    let mut table = Table::new(&["sessions", "figure", "target", ""]);
    table.line("memory after the first 400", mebibytes(growth.early_mib), "", "");
    let most = growth.early_mib + SLACK_MIB;
    let name = format!("memory after {} sessions", growth.sessions);
    let (late, target) = (growth.late_mib, format!("≤ {}", mebibytes(most)));
    table.line(&name, mebibytes(late), &target, met(late <= most));
    if let Some(redis) = &growth.redis {
        for (name, bytes) in [
            ("Redis, a user's only session", redis.first),
            ("Redis, over all sessions", redis.average),
        ] {
            table.line(name, format!("{bytes:.0} B"), "< 400 B", met(bytes < 400.0));
        }
    }
    table.print();
}

pub fn met(yes: bool) -> &'static str {
    if yes { "met" } else { "MISSED" }
}

pub fn count(value: f64) -> String {
    if value < 1000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn mebibytes(value: f64) -> String {
    format!("{value:.1} MiB")
}

fn time(duration: Duration) -> String {
    let microseconds = duration.as_secs_f64() * 1e6;
    match microseconds {
        ..100.0 => format!("{microseconds:.1} µs"),
        ..1000.0 => format!("{microseconds:.0} µs"),
        ..100_000.0 => format!("{:.2} ms", microseconds / 1e3),
        _ => format!("{:.0} ms", microseconds / 1e3),
    }
}

/// A Markdown table with its columns lined up, so that it can be read where it is printed.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new(header: &[&str]) -> Self {
        Self(vec![header.iter().map(|cell| (*cell).to_owned()).collect()])
    }

    fn push(&mut self, cells: impl Into<Vec<String>>) {
        self.0.push(cells.into());
    }

    fn line(&mut self, name: &str, figure: String, target: &str, verdict: &str) {
        self.push([name.to_owned(), figure, target.to_owned(), verdict.to_owned()]);
    }

    fn print(&self) {
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let columns = self.0.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        println!();
        for (index, row) in self.0.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
            if index == 0 {
                let rules = widths.iter().map(|width| "-".repeat(*width));
                println!("| {} |", rules.collect::<Vec<_>>().join(" | "));
            }
        }
    }
}
