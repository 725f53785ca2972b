//! The writes of one run, divided among other numbers of shards, and for other rates.

use sandbox_protocol::index::{permit_shards, shard};

use crate::options::Options;
use crate::world::{World, Write};

/// The most writes of a shard in a second that the project promises.
pub const MAX_WRITES: u64 = 200;

/// The writes of a run.
#[derive(Debug)]
pub struct Trace<'a> {
    world: &'a World,
    options: &'a Options,
}

impl<'a> Trace<'a> {
    /// The writes of a world that has run with these options.
    pub fn new(world: &'a World, options: &'a Options) -> Self {
        Self { world, options }
    }

    /// The most writes of a shard in a second with this number of shards, if `part` of the sandboxes
    /// were created.
    pub fn peak(&self, shards: u32, part: f64) -> u64 {
        let for_permits = permit_shards((f64::from(self.options.max_sandboxes) * part) as u32, shards);
        let mut counts = vec![0_u64; shards as usize * self.options.seconds as usize];
        // The numbers of sandboxes say nothing of their ids: each n-th is a fair part.
        let is_kept = |write: &&Write| (f64::from(write.sandbox) * part).fract() < part;
        for write in self.world.writes.iter().filter(is_kept) {
            let id = &self.world.sandboxes[write.sandbox as usize].id;
            let shard = shard(id, if write.is_permit { for_permits } else { shards });
            if let Some(count) = counts.get_mut((write.second * shards + shard) as usize) {
                *count += 1;
            }
        }
        counts.into_iter().max().unwrap_or_default()
    }

    /// The fewest shards that keep the promise.
    pub fn fewest_shards(&self) -> u32 {
        let (mut too_few, mut enough) = (0, 256);
        while enough - too_few > 1 {
            let shards = (too_few + enough) / 2;
            match self.peak(shards, 1.0) <= MAX_WRITES {
                true => enough = shards,
                false => too_few = shards,
            }
        }
        enough
    }

    /// The most creates in a second, in tens, with which this number of shards keeps the promise.
    pub fn most_creates(&self, shards: u32) -> u32 {
        let all = self.options.creates;
        let (mut kept, mut too_many) = (0, all / 10 + 1);
        while too_many - kept > 1 {
            let tens = (kept + too_many) / 2;
            match self.peak(shards, f64::from(tens * 10) / f64::from(all)) <= MAX_WRITES {
                true => kept = tens,
                false => too_many = tens,
            }
        }
        kept * 10
    }
}
