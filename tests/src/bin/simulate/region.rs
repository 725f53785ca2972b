//! The loss of a region: what becomes of lists, of reports and of permits.
//!
//! A Durable Object is made near the client that first calls it, so Sandbox objects and shards are
//! where the clients are.

use std::collections::HashSet;

use crate::options::Options;
use crate::world::{Ms, World};

/// The regions of Durable Objects, and the part of the clients that is assumed in each.
pub const REGIONS: [(&str, f64); 9] = [
    ("enam", 0.30),
    ("wnam", 0.20),
    ("weur", 0.20),
    ("apac", 0.14),
    ("eeur", 0.06),
    ("sam", 0.04),
    ("oc", 0.03),
    ("afr", 0.02),
    ("me", 0.01),
];

/// The time for which the region is lost.
pub const OUTAGE_MS: Ms = 60_000;
/// The time after which the project promises that the index is right again: one retry of a report,
/// and the timeout of the call that failed last.
pub const MAX_RECOVERY_MS: Ms = crate::world::RETRY_MS + 5_000;

/// The effects of a loss.
#[derive(Debug)]
pub struct Loss {
    /// The name of the region.
    pub region: &'static str,
    /// The part of the Sandbox objects that is lost.
    pub sandboxes: f64,
    /// The shards that are lost.
    pub shards: u32,
    /// The shards that a list has named as `incomplete`.
    pub incomplete: u32,
    /// The part of the sandboxes that a list misses.
    pub missing: f64,
    /// The part of the sandboxes of the other regions that a list misses.
    pub missing_elsewhere: f64,
    /// The sandboxes of the lost region that a list has.
    pub listed_of_region: usize,
    /// The starts that got 503 because the shard of their permit was lost, as a part of all.
    pub failed_starts: f64,
    /// The reports that did not arrive.
    pub lost_reports: u64,
    /// The changes that the index did not have when the region came back.
    pub unreported: usize,
    /// The time from then until it had all changes, but for those on their way.
    pub recovery_ms: Ms,
    /// The permits that were given when nothing had them any more.
    pub orphaned_permits: usize,
    /// The most writes of a shard in a second, from the loss to the end.
    pub peak_writes: u64,
}

/// Loses the region with this number while sandboxes come and go.
pub fn lose(options: &Options, lost: usize) -> Loss {
    let mut world = World::new(options.clone(), REGIONS.map(|(_, part)| part));
    let shards: Vec<usize> = (0..options.shards).map(|_| world.region()).collect();
    world.warm_up();
    let until_ms = world.now_ms() + OUTAGE_MS;
    world.lose(lost, until_ms, &shards);
    while world.now_ms() + 1000 < until_ms {
        world.second(0, 0);
    }
    let mut loss = inspect(&mut world, lost, &shards);
    while world.now_ms() < until_ms {
        world.second(0, 0);
    }
    loss.failed_starts = world.counts.failed_starts as f64 / world.counts.starts as f64;
    loss.lost_reports = world.counts.lost_reports;
    loss.unreported = world.unreported();
    world.find();
    while world.unreported() > 0 && world.now_ms() < until_ms + 10 * MAX_RECOVERY_MS {
        world.second(0, 0);
    }
    loss.recovery_ms = world.now_ms() - until_ms;
    loss.orphaned_permits = world.index.permits().saturating_sub(world.running());
    loss.peak_writes = world
        .index
        .loads()
        .map(|load| load.peak.writes)
        .max()
        .unwrap_or_default();
    loss
}

/// Lists all sandboxes while the region is lost.
fn inspect(world: &mut World, lost: usize, shards: &[usize]) -> Loss {
    let pages = world.index.list_all(1000);
    let listed: HashSet<&str> = pages
        .iter()
        .flat_map(|page| &page.rows)
        .map(|row| row.id.as_str())
        .collect();
    let count = |is_counted: &dyn Fn(bool, bool) -> bool| {
        let alive = world.alive();
        alive
            .filter(|sandbox| is_counted(sandbox.region == lost, listed.contains(sandbox.id.as_str())))
            .count()
    };
    let part = |some: usize, all: usize| some as f64 / all.max(1) as f64;
    let all = count(&|_, _| true);
    let of_region = count(&|is_of_region, _| is_of_region);
    let incomplete: HashSet<u32> = pages.iter().flat_map(|page| page.incomplete.clone()).collect();
    let (region, _) = REGIONS[lost];
    Loss {
        region,
        sandboxes: part(of_region, all),
        shards: shards.iter().filter(|region| **region == lost).count() as u32,
        incomplete: incomplete.len() as u32,
        missing: part(count(&|_, is_listed| !is_listed), all),
        missing_elsewhere: part(
            count(&|is_of_region, is_listed| !is_of_region && !is_listed),
            all - of_region,
        ),
        listed_of_region: count(&|is_of_region, is_listed| is_of_region && is_listed),
        failed_starts: 0.0,
        lost_reports: 0,
        unreported: 0,
        recovery_ms: 0,
        orphaned_permits: 0,
        peak_writes: 0,
    }
}
