//! The result as text, and the promises that were broken.

use crate::capacity::{MAX_WRITES, Trace};
use crate::load::Load;
use crate::options::Options;
use crate::region::{Loss, MAX_RECOVERY_MS, OUTAGE_MS};
use crate::route::DEFAULT_SHARDS;
use crate::world::World;

/// The result of a simulation.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<(String, String)>,
    broken: Vec<String>,
}

impl Report {
    /// Adds a line.
    fn line(&mut self, what: &str, value: impl Into<String>) {
        self.lines.push((what.to_owned(), value.into()));
    }

    /// Notes a promise that must hold.
    fn promise(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }

    /// The table.
    pub fn text(&self) -> String {
        let width = self.lines.iter().map(|(what, _)| what.chars().count()).max();
        let width = width.unwrap_or_default();
        let lines = self.lines.iter().map(|(what, value)| match value.is_empty() {
            true => format!("\n{what}\n"),
            false => format!("  {what:width$}  {value}\n"),
        });
        lines.collect()
    }

    /// The promises that were broken.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Adds what a run has measured.
    pub fn add_run(&mut self, world: &mut World, options: &Options) {
        let seconds = u64::from(options.seconds);
        let loads: Vec<Load> = world.index.loads().map(|load| *load).collect();
        let peak = |of: fn(&Load) -> u64| loads.iter().map(of).max().unwrap_or_default();
        let mean = |of: fn(&Load) -> u64| loads.iter().map(of).sum::<u64>() / loads.len() as u64 / seconds;
        let counts = world.counts;

        self.line("Sandbox objects", "");
        let objects = &world.objects;
        self.line("calls in a second, all", format!("{}", objects.total / seconds));
        self.line(
            "the busiest object: calls in its busiest second",
            format!("{}, its clients' requests: {}", objects.peak, objects.own_peak),
        );
        self.line(
            "objects with more than their own requests",
            objects.exceeded.to_string(),
        );
        self.promise(
            objects.exceeded == 0,
            format!("{} objects got more than their own requests", objects.exceeded),
        );

        self.line(&format!("The index, {} shards", options.shards), "");
        let busiest = |what: fn(&Load) -> u64, average: fn(&Load) -> u64| {
            format!(
                "{} in its busiest second, {} on average",
                peak(what),
                mean(average)
            )
        };
        let writes = peak(|load| load.peak.writes);
        self.line(
            "writes of the busiest shard (reports and permits)",
            busiest(|load| load.peak.writes, |load| load.total.writes),
        );
        self.line(
            "rows written by it",
            busiest(|load| load.peak.rows, |load| load.total.rows),
        );
        self.line(
            "requests of it",
            busiest(|load| load.peak.requests, |load| load.total.requests),
        );
        self.promise(
            writes <= MAX_WRITES,
            format!("a shard got {writes} writes in a second, more than {MAX_WRITES}"),
        );
        self.line(
            "shards asked for a permit, for each start",
            format!("{:.3}", counts.asked as f64 / counts.starts.max(1) as f64),
        );
        self.line("starts without a permit", counts.refused_starts.to_string());
        self.line(
            "a list of 100: shards asked, rows they return",
            format!(
                "{}, {}",
                counts.list_calls / counts.lists.max(1),
                counts.list_rows / counts.lists.max(1)
            ),
        );
    }

    /// Adds the numbers of shards that other rates need.
    pub fn add_capacity(&mut self, world: &World, options: &Options) {
        let trace = Trace::new(world, options);
        self.line("Other numbers of shards", "");
        self.line(
            &format!("the fewest for {} creates in a second", options.creates),
            trace.fewest_shards().to_string(),
        );
        for shards in [DEFAULT_SHARDS, 32, 64] {
            let creates = trace.most_creates(shards);
            let least = if creates >= options.creates {
                "at least "
            } else {
                ""
            };
            self.line(
                &format!("{shards} shards are full at"),
                format!("{least}{creates} creates in a second"),
            );
        }
    }

    /// Adds what the list of all sandboxes was like.
    pub fn add_list(&mut self, world: &mut World) {
        let pages = world.index.list_all(1000);
        let mut listed: Vec<&str> = pages
            .iter()
            .flat_map(|page| &page.rows)
            .map(|row| row.id.as_str())
            .collect();
        let rows = listed.len();
        listed.sort_unstable();
        listed.dedup();
        let mut expected: Vec<&str> = world.alive().map(|sandbox| sandbox.id.as_str()).collect();
        expected.sort_unstable();
        self.line(
            "all sandboxes in pages of 1,000: pages, calls of shards",
            format!(
                "{}, {}",
                pages.len(),
                pages.iter().map(|page| page.calls).sum::<u64>()
            ),
        );
        self.promise(
            rows == listed.len() && listed == expected,
            "the list does not have each sandbox once",
        );
    }

    /// Adds what the loss of a region has done.
    pub fn add_loss(&mut self, loss: &Loss) {
        let percent = |part: f64| format!("{:.1} %", part * 100.0);
        self.line(
            &format!("The region {} is lost for {} s", loss.region, OUTAGE_MS / 1000),
            "",
        );
        self.line("Sandbox objects that are lost", percent(loss.sandboxes));
        self.line(
            "shards that are lost, and that lists name as incomplete",
            format!("{}, {}", loss.shards, loss.incomplete),
        );
        self.line("sandboxes that lists miss", percent(loss.missing));
        self.line("of those in other regions", percent(loss.missing_elsewhere));
        self.line(
            "sandboxes of the lost region that lists have",
            loss.listed_of_region.to_string(),
        );
        self.line(
            "starts elsewhere that get 503 at first",
            percent(loss.failed_starts),
        );
        self.line("reports that do not arrive", loss.lost_reports.to_string());
        self.line(
            "changes that the index misses when the region is back",
            loss.unreported.to_string(),
        );
        self.line(
            "the time until it has all of them",
            format!("{} s", loss.recovery_ms / 1000),
        );
        self.line("permits of no sandbox then", loss.orphaned_permits.to_string());
        self.line(
            "the most writes of a shard in a second",
            loss.peak_writes.to_string(),
        );
        self.promise(
            loss.incomplete == loss.shards,
            "a list does not name the shards that are lost",
        );
        self.promise(
            loss.recovery_ms <= MAX_RECOVERY_MS,
            format!(
                "the index is not right {} s after the region is back",
                MAX_RECOVERY_MS / 1000
            ),
        );
        self.promise(
            loss.peak_writes <= MAX_WRITES,
            format!(
                "a shard got {} writes in a second after the loss",
                loss.peak_writes
            ),
        );
    }
}
