//! The table.

use std::time::Duration;

/// Which side of its limit a number has to be on.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// Measured for comparison only.
    None,
}

/// One line of the table.
struct Row {
    name: String,
    samples: usize,
    value: f64,
    unit: &'static str,
    limit: Limit,
}

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a line; `value` is the median of `samples`.
    pub fn add(&mut self, name: &str, samples: usize, value: f64, unit: &'static str, limit: Limit) {
        eprintln!("{name}: {value:.2} {unit}");
        self.rows.push(Row {
            name: name.to_owned(),
            samples,
            value,
            unit,
            limit,
        });
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        println!("| what | n | median | limit | |");
        println!("| --- | ---: | ---: | ---: | --- |");
        for Row {
            name,
            samples,
            value,
            unit,
            limit,
        } in &self.rows
        {
            let (limit, verdict) = match limit {
                Limit::AtMost(limit) => (
                    format!("≤ {limit} {unit}"),
                    if value <= limit { "ok" } else { "MISSED" },
                ),
                Limit::AtLeast(limit) => (
                    format!("≥ {limit} {unit}"),
                    if value >= limit { "ok" } else { "MISSED" },
                ),
                Limit::None => (String::new(), ""),
            };
            println!("| {name} | {samples} | {value:.2} {unit} | {limit} | {verdict} |");
        }
    }
}

/// The median of some numbers.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Megabytes (10⁶ bytes) a second.
pub fn mb_per_s(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}
