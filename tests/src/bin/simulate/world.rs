//! The sandboxes and their clients, by the second.
//!
//! There are always as many sandboxes as the options say. Each is created with settings, starts,
//! stops and is destroyed, and another one takes its slot. The slots have Zipf's weights, by which
//! requests go to their sandboxes.

mod life;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sandbox_protocol::route_table::Operation;

use crate::index::Index;
use crate::load::Objects;
use crate::options::Options;
use crate::random::{Random, cumulative, zipf};
use crate::route;
use crate::usage::Change;
use life::Event;

pub use life::{RETRY_MS, Sandbox};

/// Milliseconds.
pub type Ms = u64;

/// The operations of clients, each with its number in a hundred requests.
const MIX: [(Operation, f64); 6] = [
    (Operation::ExecCommand, 60.0),
    (Operation::ReadFile, 15.0),
    (Operation::WriteFile, 10.0),
    (Operation::GetProcessLog, 8.0),
    (Operation::IsSandboxRunning, 5.0),
    (Operation::GetSandbox, 2.0),
];

/// A write to a shard: the second, the sandbox, and whether it is for a permit.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    /// The second of the measurement.
    pub second: u32,
    /// The number of the sandbox.
    pub sandbox: u32,
    /// Whether it is for a permit.
    pub is_permit: bool,
}

/// Counts of the whole run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sandboxes that were created.
    pub created: u64,
    /// Sandboxes that clients wanted to start.
    pub starts: u64,
    /// Starts that failed at first because a shard was lost.
    pub failed_starts: u64,
    /// Starts that failed at first because there was no permit left.
    pub refused_starts: u64,
    /// Shards that were asked for a permit.
    pub asked: u64,
    /// Reports that did not arrive.
    pub lost_reports: u64,
    /// Permits that could not be given back at first.
    pub lost_releases: u64,
    /// Pages of lists.
    pub lists: u64,
    /// Calls of shards for them.
    pub list_calls: u64,
    /// Rows that shards returned for them.
    pub list_rows: u64,
}

/// The simulated deployment.
#[derive(Debug)]
pub struct World {
    options: Options,
    random: Random,
    events: BinaryHeap<Reverse<(Ms, u64, Event)>>,
    scheduled: u64,
    now_ms: Ms,
    /// The sandbox at each slot.
    slots: Vec<Option<usize>>,
    /// All sandboxes that ever were.
    pub sandboxes: Vec<Sandbox>,
    /// The index.
    pub index: Index,
    /// The Sandbox objects.
    pub objects: Objects,
    /// The counts since the measurement began.
    pub counts: Counts,
    /// The writes since then.
    pub writes: Vec<Write>,
    measured_from_ms: Ms,
    /// The sums of the weights of the regions.
    regions: Vec<f64>,
    lost_region: Option<(usize, Ms)>,
    popularity: Vec<f64>,
    mix: Vec<f64>,
    calls: [u32; MIX.len()],
}

impl World {
    /// A deployment without sandboxes. `regions` are the parts of the clients that are in each region.
    pub fn new(options: Options, regions: impl IntoIterator<Item = f64>) -> Self {
        let mut world = Self {
            random: Random::new(options.seed),
            events: BinaryHeap::new(),
            scheduled: 0,
            now_ms: 0,
            slots: vec![None; options.sandboxes as usize],
            sandboxes: Vec::new(),
            index: Index::new(options.shards, options.max_sandboxes),
            objects: Objects::default(),
            counts: Counts::default(),
            writes: Vec::new(),
            measured_from_ms: 0,
            regions: cumulative(regions),
            lost_region: None,
            popularity: zipf(options.sandboxes as usize, options.skew),
            mix: cumulative(MIX.map(|(_, weight)| weight)),
            calls: MIX.map(|(operation, _)| route::usage(operation).sandbox as u32),
            options,
        };
        for slot in 0..world.slots.len() {
            let at = slot as f64 * 1000.0 / f64::from(world.options.creates);
            world.schedule(at as Ms, Event::Create { slot });
        }
        world
    }

    /// The time until there are as many sandboxes as there will be, and they are of all ages.
    pub fn warm_up(&mut self) {
        let seconds = 5 * self.options.sandboxes.div_ceil(self.options.creates);
        for _ in 0..seconds {
            self.second(0, 0);
        }
        self.counts = Counts::default();
        self.writes.clear();
        self.objects.reset();
        self.index.loads().for_each(|load| load.reset());
        self.measured_from_ms = self.now_ms;
    }

    /// Simulates the seconds of the options.
    pub fn run(&mut self) {
        for _ in 0..self.options.seconds {
            self.second(self.options.requests, self.options.lists);
        }
    }

    /// Simulates one second.
    pub fn second(&mut self, requests: u32, lists: u32) {
        let end = self.now_ms + 1000;
        while let Some(Reverse((at, _, _))) = self.events.peek()
            && *at < end
            && let Some(Reverse((at, _, event))) = self.events.pop()
        {
            self.now_ms = at;
            self.happen(event);
        }
        self.now_ms = end;
        for _ in 0..requests {
            let slot = self.random.pick(&self.popularity);
            let operation = self.random.pick(&self.mix);
            if let Some(sandbox) = self.slots[slot] {
                self.objects.request(sandbox, self.calls[operation]);
            }
        }
        for _ in 0..lists {
            let page = self.index.list(100, None);
            self.counts.lists += 1;
            self.counts.list_calls += page.calls;
            self.counts.list_rows += page.returned;
        }
        self.index.loads().for_each(|load| load.tick());
        self.objects.tick();
    }

    /// Loses a region until a time: its Sandbox objects do nothing, and its shards do not answer.
    pub fn lose(&mut self, region: usize, until_ms: Ms, shards: &[usize]) {
        self.lost_region = Some((region, until_ms));
        self.index.lose(|shard| shards.get(shard) == Some(&region));
    }

    /// The region is back.
    pub fn find(&mut self) {
        self.lost_region = None;
        self.index.lose(|_| false);
    }

    /// The region of a new object.
    pub fn region(&mut self) -> usize {
        self.random.pick(&self.regions)
    }

    /// The time, in milliseconds.
    pub fn now_ms(&self) -> Ms {
        self.now_ms
    }

    /// The sandboxes that the index should list.
    pub fn alive(&self) -> impl Iterator<Item = &Sandbox> {
        let alive = |sandbox: &&Sandbox| sandbox.change != Change::Destroyed;
        self.sandboxes.iter().filter(alive)
    }

    /// The sandboxes whose last change the index does not have.
    pub fn unreported(&self) -> usize {
        let is_unreported = |sandbox: &&Sandbox| sandbox.reported_ms < sandbox.changed_ms;
        self.sandboxes.iter().filter(is_unreported).count()
    }

    /// The sandboxes that have a permit.
    pub fn running(&self) -> usize {
        self.sandboxes.iter().filter(|sandbox| sandbox.is_running).count()
    }

    fn schedule(&mut self, at: Ms, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }
}
