//! The shards of the index as the simulation has them: their rows, their permits and their load.
//! The number of a sandbox's shard, the share of the permits and the merge of the pages are the
//! Worker's own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use sandbox_protocol::SandboxId;
use sandbox_protocol::index::merge::{Merge, Missing};
use sandbox_protocol::index::{ShardPage, ShardRow, permit_shards, permit_share, shard};
use sandbox_protocol::sandbox::ListCursor;
use serde_json::value::RawValue;

use crate::load::Load;
use crate::usage::{Change, PERMIT_ROWS};

/// The position of a sandbox in a list.
type Position = (Reverse<u64>, String);

/// The index.
#[derive(Debug)]
pub struct Index {
    shards: Vec<Shard>,
    max_sandboxes: u32,
}

/// A shard.
#[derive(Debug, Default)]
struct Shard {
    listed: BTreeMap<Position, ()>,
    /// The time of the newest report of each sandbox.
    changed: HashMap<String, u64>,
    permits: HashSet<String>,
    is_lost: bool,
    load: Load,
}

/// A report of a Sandbox object.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The sandbox.
    pub id: &'a SandboxId,
    /// The time of its creation, in milliseconds.
    pub created_ms: u64,
    /// The time of the change, in milliseconds.
    pub changed_ms: u64,
    /// The kind of the change.
    pub change: Change,
    /// The labels of the sandbox.
    pub labels: u32,
}

/// The shard that should answer is lost.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost;

/// The answer to a list.
#[derive(Debug)]
pub struct Listed {
    /// The rows of the page.
    pub rows: Vec<ShardRow>,
    /// The cursor of the next page.
    pub cursor: Option<ListCursor>,
    /// The shards that did not answer.
    pub incomplete: Vec<u32>,
    /// The calls of shards.
    pub calls: u64,
    /// The rows that shards have returned.
    pub returned: u64,
}

impl Index {
    /// An empty index of a deployment with this `MAX_SANDBOXES`.
    pub fn new(shards: u32, max_sandboxes: u32) -> Self {
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            max_sandboxes,
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.shards.len()).unwrap()
    }

    /// Says which shards are lost.
    pub fn lose(&mut self, is_lost: impl Fn(usize) -> bool) {
        for (number, shard) in self.shards.iter_mut().enumerate() {
            shard.is_lost = is_lost(number);
        }
    }

    /// The loads of all shards.
    pub fn loads(&mut self) -> impl Iterator<Item = &mut Load> {
        self.shards.iter_mut().map(|shard| &mut shard.load)
    }

    /// Takes a report.
    pub fn report(&mut self, report: &Report) -> Result<(), Lost> {
        let number = shard(report.id, self.count());
        let shard = &mut self.shards[number as usize];
        if shard.is_lost {
            return Err(Lost);
        }
        let id = report.id.as_str();
        if shard
            .changed
            .get(id)
            .is_some_and(|known| *known >= report.changed_ms)
        {
            shard.load.read();
            return Ok(());
        }
        shard.changed.insert(id.to_owned(), report.changed_ms);
        let position = (Reverse(report.created_ms), id.to_owned());
        match report.change {
            Change::Destroyed => {
                shard.listed.remove(&position);
            }
            Change::Made | Change::Changed => {
                shard.listed.insert(position, ());
            }
        }
        shard.load.write(report.change.rows(report.labels));
        Ok(())
    }

    /// Gives or renews a permit, as `Core::acquire_permit` asks for it. Returns the shard that has
    /// given it, and the number of shards that were asked; no shard when there is none left.
    pub fn acquire(&mut self, id: &SandboxId, held: Option<u32>) -> Result<(Option<u32>, u32), Lost> {
        let shards = permit_shards(self.max_sandboxes, self.count());
        let own = shard(id, shards);
        let others = (0..shards).map(|step| (own + step) % shards);
        let mut is_unknown = false;
        for (asked, number) in (1..).zip(held.into_iter().chain(others)) {
            let limit = permit_share(self.max_sandboxes, number, shards) as usize;
            let shard = &mut self.shards[number as usize];
            if shard.is_lost {
                is_unknown = true;
                continue;
            }
            if shard.permits.contains(id.as_str()) || shard.permits.len() < limit {
                shard.permits.insert(id.to_string());
                shard.load.write(PERMIT_ROWS);
                return Ok((Some(number), asked));
            }
            shard.load.read();
        }
        if is_unknown { Err(Lost) } else { Ok((None, shards)) }
    }

    /// Takes a permit back.
    pub fn release(&mut self, id: &SandboxId, shard: u32) -> Result<(), Lost> {
        let shard = &mut self.shards[shard as usize];
        if shard.is_lost {
            return Err(Lost);
        }
        shard.permits.remove(id.as_str());
        shard.load.write(PERMIT_ROWS);
        Ok(())
    }

    /// The permits that are given.
    pub fn permits(&self) -> usize {
        self.shards.iter().map(|shard| shard.permits.len()).sum()
    }

    /// A page of the list, made as `src/index/client.rs` makes it.
    pub fn list(&mut self, limit: usize, after: Option<&ListCursor>) -> Listed {
        let mut merge = Merge::new(limit, self.count());
        let part = merge.part();
        let (mut calls, mut returned) = (0, 0);
        loop {
            let missing = merge.advance();
            if missing.is_empty() {
                break;
            }
            for Missing { shard, cursor } in missing {
                let source = &mut self.shards[shard as usize];
                if source.is_lost {
                    merge.fail(shard);
                    continue;
                }
                let page = source.page(part, cursor.as_ref().or(after));
                calls += 1;
                returned += page.rows.len() as u64;
                merge.add(shard, page);
            }
        }
        let (rows, cursor, incomplete) = merge.finish();
        Listed {
            rows,
            cursor,
            incomplete,
            calls,
            returned,
        }
    }

    /// All pages of the list.
    pub fn list_all(&mut self, limit: usize) -> Vec<Listed> {
        let mut pages: Vec<Listed> = Vec::new();
        loop {
            let after = pages.last().and_then(|page| page.cursor.clone());
            if !pages.is_empty() && after.is_none() {
                return pages;
            }
            pages.push(self.list(limit, after.as_ref()));
        }
    }
}

impl Shard {
    fn page(&mut self, limit: usize, after: Option<&ListCursor>) -> ShardPage {
        self.load.read();
        let row = |(Reverse(created_ms), id): &Position| ShardRow {
            created_ms: *created_ms,
            id: id.clone(),
            info: RawValue::NULL.to_owned(),
        };
        let mut rows: Vec<ShardRow> = match after {
            None => self.listed.keys().take(limit + 1).map(row).collect(),
            Some(after) => {
                let after = (Reverse(after.created_ms), after.id.clone());
                let behind = self
                    .listed
                    .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                behind
                    .take(limit + 1)
                    .map(|(position, ())| row(position))
                    .collect()
            }
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        ShardPage { rows, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn report(id: &SandboxId, changed_ms: u64, change: Change) -> Report<'_> {
        Report {
            id,
            created_ms: 1,
            changed_ms,
            change,
            labels: 0,
        }
    }

    #[test]
    fn an_older_report_changes_nothing() {
        let mut index = Index::new(4, 100);
        let id = Random::new(1).id();
        assert_eq!(index.report(&report(&id, 5, Change::Destroyed)), Ok(()));
        assert_eq!(index.report(&report(&id, 4, Change::Changed)), Ok(()));
        assert!(index.list(10, None).rows.is_empty());
        index.lose(|_| true);
        assert_eq!(index.report(&report(&id, 6, Change::Changed)), Err(Lost));
        assert_eq!(index.list(10, None).incomplete, [0, 1, 2, 3]);
    }

    #[test]
    fn all_permits_are_given_and_no_more() {
        let mut index = Index::new(4, 200);
        let mut random = Random::new(1);
        let ids: Vec<_> = (0..201).map(|_| random.id()).collect();
        let mut given = Vec::new();
        for id in &ids {
            given.push(index.acquire(id, None).unwrap().0);
        }
        assert_eq!(given.iter().flatten().count(), 200);
        assert_eq!((given[200], index.permits()), (None, 200));
        index.release(&ids[0], given[0].unwrap()).unwrap();
        assert!(index.acquire(&ids[200], None).unwrap().0.is_some());
    }
}
