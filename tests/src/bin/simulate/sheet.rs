//! The cost sheet of docs/scale.md.

use crate::price::{self, SIZES, Size};
use crate::step;
use crate::usage::Usage;

/// The time of an exec in the sheet, in seconds.
const EXEC_SECONDS: f64 = 1.0;
/// The execs of one sandbox in the hour of the sheet.
const EXECS: f64 = 100.0;
/// The part of its vCPUs that a sandbox uses in that hour.
const CPU_USE: f64 = 0.10;
/// The alarms of a running sandbox in that hour: one each ten minutes.
const ALARMS: f64 = 6.0;
/// The labels of a sandbox of the sheet.
const LABELS: u32 = 2;
/// The storage of a stopped sandbox, in GB: an almost empty database.
const STORED_GB: f64 = 16e-6;
const HOUR: f64 = 3600.0;
const SANDBOXES: f64 = 1000.0;

/// The usage of a sandbox that is created with settings, used for an hour, and deleted.
fn hour() -> Usage {
    step::create(LABELS)
        + step::start(LABELS, false)
        + step::running_alarm() * ALARMS
        + Usage::SANDBOX * EXECS
        + step::destroy(LABELS)
}

/// A million execs in running sandboxes, as Markdown.
pub fn execs() -> String {
    let million = 1e6;
    let usage = Usage::SANDBOX * million;
    let parts = [
        (
            "requests to the Worker",
            "1,000,000 × $0.30 / million".to_owned(),
            usage.worker * price::WORKER_REQUEST,
        ),
        (
            "CPU time of the Worker",
            format!("{} ms × 1,000,000 × $0.02 / million", price::REQUEST_CPU_MS),
            million * price::REQUEST_CPU_MS * price::CPU_MS,
        ),
        (
            "requests to Sandbox objects",
            "1,000,000 × $0.15 / million".to_owned(),
            usage.sandbox * price::OBJECT_REQUEST,
        ),
        (
            "Sandbox objects in memory",
            format!("{EXEC_SECONDS} s × 0.128 GB × 1,000,000 × $12.50 / million"),
            million * EXEC_SECONDS * price::OBJECT_SECOND,
        ),
        (
            "rows read and written",
            "0".to_owned(),
            usage.rows_written() * price::ROW_WRITTEN + usage.reads * price::ROW_READ,
        ),
    ];
    let total: f64 = parts.iter().map(|(_, _, price)| price).sum();
    let mut lines = vec![
        "| part | sum | price |".to_owned(),
        "| --- | --- | --- |".to_owned(),
    ];
    for (part, sum, price) in parts {
        lines.push(format!("| {part} | {sum} | ${price:.2} |"));
    }
    lines.push(format!("| **a million execs** | | **${total:.2}** |"));
    lines.join("\n")
}

/// A thousand sandboxes of an hour each, by size, as Markdown.
pub fn sandboxes() -> String {
    let mut lines = vec![
        "| size | memory | disk | CPU | object | requests, rows | together |".to_owned(),
        "| --- | --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for size in SIZES {
        let parts = [
            SANDBOXES * HOUR * size.memory_gib * price::MEMORY_GIB_SECOND,
            SANDBOXES * HOUR * size.disk_gb * price::DISK_GB_SECOND,
            SANDBOXES * HOUR * size.vcpu * CPU_USE * price::VCPU_SECOND,
            SANDBOXES * HOUR * price::OBJECT_SECOND,
            SANDBOXES * requests(),
        ];
        let total: f64 = parts.iter().sum();
        let cells = parts.map(|part| format!("${part:.2}")).join(" | ");
        let Size { name, .. } = size;
        lines.push(format!("| `{name}` | {cells} | **${total:.2}** |"));
    }
    lines.join("\n")
}

/// The storage of stopped sandboxes with settings, as a sentence.
pub fn stored() -> String {
    let price = SANDBOXES * STORED_GB * price::STORED_GB_MONTH;
    format!(
        "A thousand stopped sandboxes with settings take 1,000 × 16 KB × $0.20 / GB = ${price:.4} a month."
    )
}

/// The price of the requests, the CPU time and the rows of one sandbox in an hour.
fn requests() -> f64 {
    let usage = hour();
    price::requests_and_rows(usage) + usage.worker * price::REQUEST_CPU_MS * price::CPU_MS
}

/// The sums of one sandbox in an hour, as Markdown.
pub fn one() -> String {
    let usage = hour();
    let row = |what: &str, count: f64, unit: &str, price: f64| {
        format!(
            "| {what} | {count:.0} | ${unit} / million | ${:.6} |",
            count * price
        )
    };
    let cpu = usage.worker * price::REQUEST_CPU_MS;
    [
        "| one sandbox in that hour | number | price | together |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row(
            "requests to the Worker",
            usage.worker,
            "0.30",
            price::WORKER_REQUEST,
        ),
        row("CPU time of the Worker, in ms", cpu, "0.02", price::CPU_MS),
        row(
            "requests and alarms of objects",
            usage.object_requests(),
            "0.15",
            price::OBJECT_REQUEST,
        ),
        row("rows read", usage.reads, "0.001", price::ROW_READ),
        row("rows written", usage.rows_written(), "1.00", price::ROW_WRITTEN),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/scale.md");

    #[test]
    fn the_page_has_the_tables_that_are_computed_here() {
        for table in [
            crate::table::routes(),
            crate::table::steps(),
            execs(),
            one(),
            sandboxes(),
            stored(),
        ] {
            assert!(PAGE.contains(&table), "docs/scale.md needs\n{table}");
        }
    }

    #[test]
    fn the_hour_of_a_size_is_that_of_the_page_on_deploying() {
        let page = include_str!("../../../../docs/deploying.md");
        for size in SIZES {
            let hour =
                HOUR * (size.memory_gib * price::MEMORY_GIB_SECOND + size.disk_gb * price::DISK_GB_SECOND);
            let line = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", size.name)));
            let line = line.unwrap();
            assert!(line.ends_with(&format!("| ${hour:.3} |")), "{line}: {hour}");
        }
    }
}
