//! All processes of a boot, by their ids.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sandbox_protocol::limits::Limit;
use sandbox_protocol::process::ProcessId;
use sandbox_protocol::{ExecRequest, SessionId};

use super::budget::LogBudget;
use super::event_log::EventLog;
use super::process::{Controls, Process};
use crate::Error;
use crate::quota::{Buffers, Reclaim};

/// The number of processes that have ended and are kept.
const MAX_ENDED: usize = 1000;

/// The processes.
#[derive(Debug)]
pub struct Registry {
    table: Arc<Mutex<Table>>,
    budget: LogBudget,
    /// The beginning of ids that no client has chosen.
    prefix: String,
    fingerprints: RandomState,
}

#[derive(Debug, Default)]
struct Table {
    last_number: u64,
    by_id: HashMap<ProcessId, Arc<Process>>,
    by_number: BTreeMap<u64, Arc<Process>>,
    /// The numbers of the processes that have ended, in the order of their ends.
    ended: VecDeque<u64>,
}

/// The process of a request.
#[derive(Debug)]
pub enum Entry {
    /// A new one, which is to be started.
    New(Arc<Process>, Controls),
    /// The one that the same request has started before.
    Existing(Arc<Process>),
}

impl Registry {
    /// An empty table. The logs count in `buffers`, whose limit is `limit`. `prefix` differs in
    /// each boot.
    pub fn new(buffers: Buffers, limit: Limit, prefix: String) -> Self {
        let table = Arc::<Mutex<Table>>::default();
        let reclaim = Arc::new(EndedLogs(Arc::downgrade(&table)));
        Self {
            budget: LogBudget::new(buffers, limit, reclaim),
            table,
            prefix,
            fingerprints: RandomState::new(),
        }
    }

    /// Identifies a request with this body and this session.
    pub fn fingerprint(&self, body: &[u8], session: Option<&[u8]>) -> u64 {
        self.fingerprints.hash_one((body, session))
    }

    /// The process that the same request has started before. Error: 409 when its id is that of
    /// another one, unless that has ended and may be replaced.
    pub fn existing(
        &self,
        request: &ExecRequest,
        fingerprint: Option<u64>,
    ) -> Result<Option<Arc<Process>>, Error> {
        self.table().existing(request, fingerprint)
    }

    /// Enters the process of `request`. Error: as for [`existing`](Self::existing).
    pub fn enter(
        &self,
        request: &ExecRequest,
        fingerprint: Option<u64>,
        session: Option<SessionId>,
    ) -> Result<Entry, Error> {
        let mut table = self.table();
        if let Some(found) = table.existing(request, fingerprint)? {
            return Ok(Entry::Existing(found));
        }
        let replaced = request.id.as_ref().and_then(|id| table.by_id.get(id));
        if let Some(number) = replaced.map(|process| process.number) {
            table.remove(number);
        }
        table.last_number += 1;
        let number = table.last_number;
        let id = match &request.id {
            Some(id) => id.clone(),
            // A random prefix: no client has chosen it.
            None => ProcessId::parse(&format!("{}.{number}", self.prefix))?,
        };
        let lingers = request.linger_ms > 0 && !request.detached;
        let log = EventLog::new(request.log_bytes, lingers, self.budget.clone());
        let (process, controls) = Process::new(id, number, fingerprint, &request.argv, session, log);
        let process = Arc::new(process);
        table.by_id.insert(process.id.clone(), Arc::clone(&process));
        table.by_number.insert(number, Arc::clone(&process));
        Ok(Entry::New(process, controls))
    }

    /// The process `id`. Error: 404.
    pub fn find(&self, id: &str) -> Result<Arc<Process>, Error> {
        let id = ProcessId::parse(id)?;
        let found = self.table().by_id.get(&id).map(Arc::clone);
        found.ok_or_else(|| Error::ProcessNotFound(id.to_string()))
    }

    /// The processes whose numbers are below `before`, the newest first.
    pub fn newest(&self, before: Option<u64>) -> Vec<Arc<Process>> {
        let table = self.table();
        let older = table.by_number.range(..before.unwrap_or(u64::MAX));
        older.rev().map(|(_, process)| Arc::clone(process)).collect()
    }

    /// Keeps a process that has ended, unless it was forgotten before, and forgets the one that has
    /// ended first if there are too many.
    pub fn ended(&self, process: &Process) {
        let mut table = self.table();
        if !table.by_number.contains_key(&process.number) {
            return;
        }
        table.ended.push_back(process.number);
        if table.ended.len() > MAX_ENDED
            && let Some(first) = table.ended.pop_front()
        {
            table.remove(first);
        }
    }

    /// Forgets a process.
    pub fn forget(&self, process: &Process) {
        self.table().remove(process.number);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    fn existing(
        &self,
        request: &ExecRequest,
        fingerprint: Option<u64>,
    ) -> Result<Option<Arc<Process>>, Error> {
        let Some(found) = request.id.as_ref().and_then(|id| self.by_id.get(id)) else {
            return Ok(None);
        };
        if request.replace && found.log.end().is_some() {
            return Ok(None);
        }
        if found.fingerprint == fingerprint {
            return Ok(Some(Arc::clone(found)));
        }
        Err(Error::ProcessExists(found.id.to_string()))
    }

    fn remove(&mut self, number: u64) {
        let Some(process) = self.by_number.remove(&number) else {
            return;
        };
        let is_same = |found: &Arc<Process>| found.number == number;
        if self.by_id.get(&process.id).is_some_and(is_same) {
            self.by_id.remove(&process.id);
        }
        self.ended.retain(|ended| *ended != number);
    }
}

/// The logs of the processes that have ended. They give way to other buffers.
#[derive(Debug)]
struct EndedLogs(Weak<Mutex<Table>>);

impl Reclaim for EndedLogs {
    fn reclaim(&self, bytes: u64) -> bool {
        let Some(table) = self.0.upgrade() else {
            return false;
        };
        // Without the table's lock: a log that needs memory holds its own.
        let ended: Vec<_> = {
            let table = lock(&table);
            let process = |number| table.by_number.get(number).map(Arc::clone);
            table.ended.iter().filter_map(process).collect()
        };
        let mut freed = 0;
        for process in ended {
            if freed >= bytes {
                break;
            }
            freed += process.log.drop_output();
        }
        freed > 0
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
