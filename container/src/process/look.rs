//! A look at all processes, shared by everybody who asks for one at the same moment.
//!
//! A look takes about a millisecond for every hundred processes, and whoever ends a tree looks several times. When a
//! thousand commands are ended at once, a look for each would be a thousand times a thousand processes. So whoever asks
//! while a look is under way gets the next one, with all others who asked meanwhile. It begins after each of them asked:
//! nobody sees the past.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Gid, Pid, Uid, getpid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use super::scan::{self, Process};
use crate::user::Ids;

/// The looks of this process.
static LOOKS: Looks = Looks::new();

/// What marks a command's processes.
#[derive(Debug, Clone, Copy)]
pub struct Mark<'a> {
    /// The `NAME=value` in their environment.
    pub variable: &'a str,
    /// Who they run as, if it is another user, whose environments only that user may see.
    pub ids: Option<&'a Ids>,
}

/// Looks at all processes, and for those that have `mark`.
pub fn look(mark: Option<Mark<'_>>) -> Arc<Look> {
    LOOKS.look(mark)
}

/// The next look, and whether one is under way.
struct Looks {
    /// It has not begun yet.
    next: OnceLock<Mutex<Arc<Look>>>,
    /// Held while somebody looks.
    looking: Mutex<()>,
}

/// A look, from when the first one asks for it.
#[derive(Debug, Default)]
pub struct Look {
    wanted: Mutex<Wanted>,
    seen: OnceLock<Seen>,
}

/// What is looked for. Nothing is added once the look has begun.
#[derive(Debug, Default)]
struct Wanted {
    /// By `NAME=value`: the places of those that have it, among the processes seen.
    marked: HashMap<String, Vec<usize>>,
    ids: Option<Ids>,
}

/// What was seen. Processes are named by their places in `processes`.
#[derive(Debug)]
struct Seen {
    /// In the order of their ids: older ones before younger ones, as a rule.
    processes: Vec<Process>,
    by_parent: HashMap<Pid, Vec<usize>>,
    by_group: HashMap<Pid, Vec<usize>>,
    marked: HashMap<String, Vec<usize>>,
}

impl Looks {
    const fn new() -> Self {
        Self {
            next: OnceLock::new(),
            looking: Mutex::new(()),
        }
    }

    fn look(&self, mark: Option<Mark<'_>>) -> Arc<Look> {
        let look = self.join(mark);
        let _looking = lock(&self.looking);
        if look.seen.get().is_none() {
            // Whoever comes from now on gets the one after.
            *self.next() = Arc::default();
            let wanted = std::mem::take(&mut *lock(&look.wanted));
            look.seen.get_or_init(|| Seen::now(wanted));
        }
        look
    }

    /// The next look, which will look for `mark`, too.
    fn join(&self, mark: Option<Mark<'_>>) -> Arc<Look> {
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

    fn next(&self) -> MutexGuard<'_, Arc<Look>> {
        lock(self.next.get_or_init(Mutex::default))
    }
}

impl Look {
    /// Every process that descends from `ancestor`, and not that one itself.
    pub fn descendants(&self, ancestor: Pid) -> Vec<Process> {
        self.seen(|seen| {
            let children = seen.by_parent.get(&ancestor).cloned().unwrap_or_default();
            seen.with_descendants(children)
        })
    }

    /// Every process that is in `group`, or has the `variable` of a mark that was asked for, or descends from one of these.
    pub fn tree(&self, group: Pid, variable: &str) -> Vec<Process> {
        let own = getpid();
        self.seen(|seen| {
            let of_group = seen.by_group.get(&group).into_iter().flatten();
            let marked = seen.marked.get(variable).into_iter().flatten();
            let is_other = |place: &usize| {
                seen.processes
                    .get(*place)
                    .is_some_and(|process| process.pid != own)
            };
            seen.with_descendants(of_group.chain(marked).copied().filter(is_other).collect())
        })
    }

    fn seen(&self, find: impl FnOnce(&Seen) -> Vec<Process>) -> Vec<Process> {
        // It is only handed out when something was seen.
        self.seen.get().map(find).unwrap_or_default()
    }
}

impl Seen {
    fn now(wanted: Wanted) -> Self {
        let processes: Vec<_> = scan::processes().collect();
        let mut seen = Self {
            by_parent: HashMap::new(),
            by_group: HashMap::new(),
            marked: wanted.marked,
            processes,
        };
        for (place, process) in seen.processes.iter().enumerate() {
            if let Some(parent) = process.parent {
                seen.by_parent.entry(parent).or_default().push(place);
            }
            if let Some(group) = process.group {
                seen.by_group.entry(group).or_default().push(place);
            }
        }
        if !seen.marked.is_empty() {
            seen.find_marked(wanted.ids.as_ref());
        }
        seen
    }

    /// Looks into every environment, if need be as the user with `ids` sees it.
    fn find_marked(&mut self, ids: Option<&Ids>) {
        let Self {
            processes, marked, ..
        } = self;
        let mut hidden = Vec::new();
        let mut find = |place: usize, process: &Process| {
            process.environment(|variable| {
                if let Some(places) = str::from_utf8(variable).ok().and_then(|v| marked.get_mut(v)) {
                    // Once, however often it is there.
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
            })
        };
        for (place, process) in processes.iter().enumerate() {
            if find(place, process).is_err() {
                hidden.push((place, process));
            }
        }
        if let Some(ids) = ids.filter(|_| !hidden.is_empty()) {
            let look = || {
                for (place, process) in hidden {
                    // An error says that it is none of that user's.
                    let _ = find(place, process);
                }
            };
            if let Err(e) = looking_as(ids, look) {
                tracing::warn!(error = %e, "cannot look for processes that left their group");
            }
        }
    }

    /// The processes at these places and their descendants, in the order in which they were seen.
    fn with_descendants(&self, mut places: Vec<usize>) -> Vec<Process> {
        let mut members = BTreeSet::new();
        while let Some(place) = places.pop() {
            if members.insert(place)
                && let Some(process) = self.processes.get(place)
            {
                places.extend(self.by_parent.get(&process.pid).into_iter().flatten());
            }
        }
        let process = |place: &usize| self.processes.get(*place).copied();
        members.iter().filter_map(process).collect()
    }
}

/// Runs `look` with the effective ids of the user that commands run as. A container's root usually lacks the right to
/// look into the processes of others (CAP_SYS_PTRACE); their owner may.
fn looking_as<T>(ids: &Ids, look: impl FnOnce() -> T) -> io::Result<T> {
    let keep = (None::<Uid>, None::<Gid>);
    set_thread_res_gid(keep.1, ids.gid, keep.1)?;
    if let Err(e) = set_thread_res_uid(keep.0, ids.uid, keep.0) {
        set_thread_res_gid(keep.1, Gid::ROOT, keep.1)?;
        return Err(e.into());
    }
    let found = look();
    // Only this thread was changed. Its real and saved ids are root's, so it may always change back.
    set_thread_res_uid(keep.0, Uid::ROOT, keep.0)?;
    set_thread_res_gid(keep.1, Gid::ROOT, keep.1)?;
    Ok(found)
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
            Self(child.unwrap())
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

    fn marked(look: &Look, variable: &str) -> Vec<Pid> {
        // No process is in this group, as it is not even a process.
        let nobody = Pid::from_raw(i32::MAX).unwrap();
        let found = look.tree(nobody, variable);
        found.into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn all_that_ask_meanwhile_share_the_next_look() {
        static LOOKS: Looks = Looks::new();
        let variables: Vec<_> = (0..16).map(|n| format!("LOOK_SHARED={n}")).collect();
        let sleepers: Vec<_> = variables.iter().map(|v| Sleeper::start(v)).collect();
        let earlier = LOOKS.look(None);
        let under_way = lock(&LOOKS.looking);
        let asking: Vec<_> = variables
            .iter()
            .cloned()
            .map(|variable| thread::spawn(move || LOOKS.look(mark(&variable))))
            .collect();
        while Arc::strong_count(&*LOOKS.next()) <= asking.len() {
            thread::yield_now();
        }
        drop(under_way);
        let looks: Vec<_> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        for ((look, sleeper), variable) in looks.iter().zip(&sleepers).zip(&variables) {
            assert!(Arc::ptr_eq(look, &looks[0]) && !Arc::ptr_eq(look, &earlier));
            assert_eq!(marked(look, variable), [sleeper.pid()]);
        }
    }

    #[test]
    fn a_look_sees_what_was_there_when_it_was_asked_for() {
        let variable = "LOOK_FRESH=1";
        assert!(marked(&look(mark(variable)), variable).is_empty());
        let sleeper = Sleeper::start(variable);
        let look = look(mark(variable));
        assert_eq!(marked(&look, variable), [sleeper.pid()]);
        let descends = |process: &Process| process.pid == sleeper.pid();
        assert!(look.descendants(getpid()).iter().any(descends));
        assert!(!look.descendants(sleeper.pid()).iter().any(descends));
        assert!(marked(&look, "LOOK_FRESH=2").is_empty(), "nobody asked for it");
    }
}
