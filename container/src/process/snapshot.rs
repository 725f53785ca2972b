//! A snapshot of all processes, shared by the callers that ask for one at the same time.
//!
//! A snapshot takes about a millisecond for every hundred processes, and to end a tree takes
//! several. When a thousand commands are ended at once, a snapshot for each would read a thousand
//! times a thousand processes. So a caller that asks while a snapshot is being taken gets the next
//! one, with all others that asked meanwhile. It is begun after each of them asked: no caller gets
//! a stale one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Pid, getpid};

use super::cookie;
use super::scan::{self, Process};
use crate::user::Ids;

/// The snapshots of this process.
static SNAPSHOTS: Snapshots = Snapshots::new();

/// The mark of a command's processes.
#[derive(Debug, Clone, Copy)]
pub struct Mark<'a> {
    /// The `NAME=value` in their environment.
    pub variable: &'a str,
    /// The user that they run as, if it is another one: only that user may read their environments.
    pub ids: Option<&'a Ids>,
}

/// Takes a snapshot of all processes, with those that have `mark`.
pub fn take_snapshot(mark: Option<Mark<'_>>) -> Arc<Snapshot> {
    SNAPSHOTS.take(mark)
}

/// The next snapshot, and whether one is being taken.
struct Snapshots {
    /// It has not begun yet.
    next: OnceLock<Mutex<Arc<Snapshot>>>,
    /// Held while a snapshot is taken.
    taking: Mutex<()>,
}

/// A snapshot, from the first request for it on.
#[derive(Debug, Default)]
pub struct Snapshot {
    wanted: Mutex<Wanted>,
    table: OnceLock<ProcessTable>,
}

/// The marks to find. None is added once the snapshot has begun.
#[derive(Debug, Default)]
struct Wanted {
    /// By `NAME=value`: the indices of the processes that have it.
    marked: HashMap<String, Vec<usize>>,
    ids: Option<Ids>,
}

/// The processes found. Each is named by its index in `processes`.
#[derive(Debug)]
struct ProcessTable {
    /// In the order of their ids: older ones before younger ones, as a rule.
    processes: Arc<[Process]>,
    by_parent: HashMap<Pid, Vec<usize>>,
    by_group: HashMap<Pid, Vec<usize>>,
    marked: HashMap<String, Vec<usize>>,
}

impl Snapshots {
    const fn new() -> Self {
        Self {
            next: OnceLock::new(),
            taking: Mutex::new(()),
        }
    }

    fn take(&self, mark: Option<Mark<'_>>) -> Arc<Snapshot> {
        let snapshot = self.join(mark);
        let _taking = lock(&self.taking);
        if snapshot.table.get().is_none() {
            // A caller that comes from now on gets the one after.
            *self.next() = Arc::default();
            let wanted = std::mem::take(&mut *lock(&snapshot.wanted));
            snapshot.table.get_or_init(|| ProcessTable::now(wanted));
        }
        snapshot
    }

    /// The next snapshot, which will find `mark`, too.
    fn join(&self, mark: Option<Mark<'_>>) -> Arc<Snapshot> {
        let next = self.next();
        if let Some(mark) = mark {
            let mut wanted = lock(&next.wanted);
            wanted.marked.entry(mark.variable.to_owned()).or_default();
            if let Some(ids) = mark.ids {
                // All commands of a `sandboxd` run as the same user.
                wanted.ids = Some(ids.clone());
            }
        }
        Arc::clone(&next)
    }

    fn next(&self) -> MutexGuard<'_, Arc<Snapshot>> {
        lock(self.next.get_or_init(Mutex::default))
    }
}

impl Snapshot {
    /// Every process that descends from `ancestor`, without `ancestor` itself.
    pub fn descendants(&self, ancestor: Pid) -> Vec<Process> {
        self.select(|table| {
            let children = table.by_parent.get(&ancestor).cloned().unwrap_or_default();
            table.with_descendants(children)
        })
    }

    /// Every process that is in `group`, or has the `variable` of a requested mark, or descends
    /// from one of these.
    pub fn tree(&self, group: Option<Pid>, variable: &str) -> Vec<Process> {
        let own = getpid();
        self.select(|table| {
            let of_group = group.and_then(|group| table.by_group.get(&group));
            let of_group = of_group.into_iter().flatten();
            let marked = table.marked.get(variable).into_iter().flatten();
            let is_other = |index: &usize| {
                table
                    .processes
                    .get(*index)
                    .is_some_and(|process| process.pid != own)
            };
            table.with_descendants(of_group.chain(marked).copied().filter(is_other).collect())
        })
    }

    fn select(&self, find: impl FnOnce(&ProcessTable) -> Vec<Process>) -> Vec<Process> {
        // A snapshot is returned only when its table is filled.
        self.table.get().map(find).unwrap_or_default()
    }
}

impl ProcessTable {
    fn now(wanted: Wanted) -> Self {
        let processes: Arc<[_]> = scan::processes().collect();
        let marked = match wanted.marked {
            none if none.is_empty() => none,
            marked => cookie::find(&processes, marked, wanted.ids),
        };
        let mut table = Self {
            by_parent: HashMap::new(),
            by_group: HashMap::new(),
            marked,
            processes,
        };
        for (index, process) in table.processes.iter().enumerate() {
            if let Some(parent) = process.parent {
                table.by_parent.entry(parent).or_default().push(index);
            }
            if let Some(group) = process.group {
                table.by_group.entry(group).or_default().push(index);
            }
        }
        table
    }

    /// The processes at these indices and their descendants, in the order of the table.
    fn with_descendants(&self, mut indices: Vec<usize>) -> Vec<Process> {
        let mut members = BTreeSet::new();
        while let Some(index) = indices.pop() {
            if members.insert(index)
                && let Some(process) = self.processes.get(index)
            {
                indices.extend(self.by_parent.get(&process.pid).into_iter().flatten());
            }
        }
        let process = |index: &usize| self.processes.get(*index).copied();
        members.iter().filter_map(process).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::thread;

    use super::*;

    struct Sleeper(Child);

    impl Sleeper {
        fn start(variable: &str) -> Self {
            let (name, value) = variable.split_once('=').unwrap();
            let child = Command::new("sleep").arg("60").env(name, value).spawn();
            let sleeper = Self(child.unwrap());
            // It has no environment while it executes its program.
            while Process::find(sleeper.pid()).is_none_or(|p| p.environment().unwrap().is_empty()) {
                thread::yield_now();
            }
            sleeper
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn mark(variable: &str) -> Option<Mark<'_>> {
        Some(Mark { variable, ids: None })
    }

    fn marked(snapshot: &Snapshot, variable: &str) -> Vec<Pid> {
        let found = snapshot.tree(None, variable);
        found.into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn callers_that_ask_meanwhile_share_the_next_snapshot() {
        static SNAPSHOTS: Snapshots = Snapshots::new();
        let variables: Vec<_> = (0..16).map(|n| format!("SNAPSHOT_SHARED={n}")).collect();
        let sleepers: Vec<_> = variables.iter().map(|v| Sleeper::start(v)).collect();
        let earlier = SNAPSHOTS.take(None);
        let under_way = lock(&SNAPSHOTS.taking);
        let asking: Vec<_> = variables
            .iter()
            .cloned()
            .map(|variable| thread::spawn(move || SNAPSHOTS.take(mark(&variable))))
            .collect();
        while Arc::strong_count(&*SNAPSHOTS.next()) <= asking.len() {
            thread::yield_now();
        }
        drop(under_way);
        let snapshots: Vec<_> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        for ((snapshot, sleeper), variable) in snapshots.iter().zip(&sleepers).zip(&variables) {
            assert!(Arc::ptr_eq(snapshot, &snapshots[0]) && !Arc::ptr_eq(snapshot, &earlier));
            assert_eq!(marked(snapshot, variable), [sleeper.pid()]);
        }
    }

    #[test]
    fn a_snapshot_has_every_process_that_was_there_when_it_was_asked_for() {
        let variable = "SNAPSHOT_FRESH=1";
        assert!(marked(&take_snapshot(mark(variable)), variable).is_empty());
        let sleeper = Sleeper::start(variable);
        let snapshot = take_snapshot(mark(variable));
        assert_eq!(marked(&snapshot, variable), [sleeper.pid()]);
        let descends = |process: &Process| process.pid == sleeper.pid();
        assert!(snapshot.descendants(getpid()).iter().any(descends));
        assert!(!snapshot.descendants(sleeper.pid()).iter().any(descends));
        assert!(
            marked(&snapshot, "SNAPSHOT_FRESH=2").is_empty(),
            "nobody asked for it"
        );
    }
}
