//! Merges the pages of the shards into one page.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::{ShardPage, ShardRow};
use crate::sandbox::ListCursor;

/// The rows that a shard is asked for beyond its share of a page: shards have almost equal parts.
const SHARE_MARGIN: usize = 32;

/// The part of a shard's list that has been read.
#[derive(Debug, Default)]
struct Source {
    rows: VecDeque<ShardRow>,
    /// Whether the shard has more behind them.
    more: bool,
    /// The last row that was read.
    last: Option<ListCursor>,
}

/// A page that is being made.
#[derive(Debug)]
pub struct Merge {
    limit: usize,
    /// By shard; `None`: it does not answer.
    sources: Vec<Option<Source>>,
    rows: Vec<ShardRow>,
}

/// A shard whose next rows are needed.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its number.
    pub shard: u32,
    /// The last row of it that was read.
    pub cursor: Option<ListCursor>,
}

impl Merge {
    /// A page of at most `limit` rows of `shards` shards.
    pub fn new(limit: usize, shards: u32) -> Self {
        let unread = || {
            Some(Source {
                more: true,
                ..Source::default()
            })
        };
        Self {
            limit,
            sources: (0..shards).map(|_| unread()).collect(),
            rows: Vec::new(),
        }
    }

    /// The rows that each shard is asked for at a time.
    pub fn part(&self) -> usize {
        let share = self.limit.div_ceil(self.sources.len().max(1)) + SHARE_MARGIN;
        share.min(self.limit)
    }

    /// Takes rows until the page is full, or the next rows of some shards are needed: returns those.
    pub fn advance(&mut self) -> Vec<Missing> {
        loop {
            if self.rows.len() >= self.limit {
                return Vec::new();
            }
            let sources = (0..).zip(&self.sources);
            let missing = sources.filter_map(|(shard, source)| {
                let source = source.as_ref()?;
                let is_needed = source.rows.is_empty() && source.more;
                is_needed.then(|| Missing {
                    shard,
                    cursor: source.last.clone(),
                })
            });
            let missing: Vec<_> = missing.collect();
            if !missing.is_empty() {
                return missing;
            }
            let heads = self.sources.iter_mut().flatten();
            let newest = heads
                .filter(|source| !source.rows.is_empty())
                .min_by_key(|source| {
                    let row = source.rows.front();
                    row.map(|row| (Reverse(row.created_ms), row.id.clone()))
                });
            match newest.and_then(|source| source.rows.pop_front()) {
                Some(row) => self.rows.push(row),
                None => return Vec::new(),
            }
        }
    }

    /// The next rows of a shard.
    pub fn add(&mut self, shard: u32, page: ShardPage) {
        let Some(Some(source)) = self.sources.get_mut(shard as usize) else {
            return;
        };
        source.more = page.more && !page.rows.is_empty();
        if let Some(row) = page.rows.last() {
            source.last = Some(cursor(row));
        }
        source.rows.extend(page.rows);
    }

    /// A shard that does not answer: the page is made without its next rows.
    pub fn fail(&mut self, shard: u32) {
        if let Some(source) = self.sources.get_mut(shard as usize) {
            *source = None;
        }
    }

    /// The rows, the cursor of the next page if there is one, and the shards that did not answer.
    pub fn finish(self) -> (Vec<ShardRow>, Option<ListCursor>, Vec<u32>) {
        let is_left = |source: &Source| source.more || !source.rows.is_empty();
        let has_more = self.sources.iter().flatten().any(is_left);
        let failed = (0..).zip(&self.sources).filter(|(_, source)| source.is_none());
        let failed = failed.map(|(shard, _)| shard).collect();
        let last = self.rows.last().filter(|_| has_more).map(cursor);
        (self.rows, last, failed)
    }
}

fn cursor(row: &ShardRow) -> ListCursor {
    ListCursor {
        created_ms: row.created_ms,
        id: row.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn row(created_ms: u64, id: &str) -> ShardRow {
        ShardRow {
            created_ms,
            id: id.to_owned(),
            info: RawValue::NULL.to_owned(),
        }
    }

    /// The rows of a shard behind a cursor.
    fn page(rows: &[ShardRow], after: Option<&ListCursor>, limit: usize) -> ShardPage {
        let behind: Vec<_> = rows
            .iter()
            .filter(|row| {
                after.is_none_or(|after| {
                    (Reverse(row.created_ms), &row.id) > (Reverse(after.created_ms), &after.id)
                })
            })
            .cloned()
            .collect();
        ShardPage {
            more: behind.len() > limit,
            rows: behind.into_iter().take(limit).collect(),
        }
    }

    #[test]
    fn pages_have_each_row_once_in_order() {
        for shards in [1_u32, 3, 16] {
            let mut lists: Vec<Vec<ShardRow>> = vec![Vec::new(); shards as usize];
            for i in 0..1000_u64 {
                // Many of the same time, most of them in one shard.
                let shard = if i % 3 == 0 { i % u64::from(shards) } else { 0 };
                lists[shard as usize].push(row(i / 7, &format!("{:04}", i * 7919 % 1000)));
            }
            for list in &mut lists {
                list.sort_by_key(|row| (Reverse(row.created_ms), row.id.clone()));
            }
            let (mut cursor, mut seen) = (None, Vec::new());
            loop {
                let mut merge = Merge::new(64, shards);
                let mut calls = 0;
                loop {
                    let missing = merge.advance();
                    if missing.is_empty() {
                        break;
                    }
                    calls += 1;
                    for Missing { shard, cursor: last } in missing {
                        let after = last.or_else(|| cursor.clone());
                        merge.add(shard, page(&lists[shard as usize], after.as_ref(), 20));
                    }
                }
                assert!(calls <= 4, "{calls}");
                let (rows, next, failed) = merge.finish();
                assert!(failed.is_empty());
                assert!(next.is_none() || rows.len() == 64);
                seen.extend(rows.iter().map(|row| (Reverse(row.created_ms), row.id.clone())));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen.len(), 1000);
            assert!(seen.is_sorted());
        }
    }

    #[test]
    fn a_shard_that_does_not_answer_is_named() {
        let mut merge = Merge::new(10, 2);
        assert_eq!(merge.advance().len(), 2);
        merge.fail(0);
        merge.add(
            1,
            ShardPage {
                rows: vec![row(1, "a")],
                more: false,
            },
        );
        assert_eq!(merge.advance(), []);
        let (rows, cursor, failed) = merge.finish();
        assert_eq!((rows.len(), cursor, failed), (1, None, vec![0]));
    }
}
