//! Connections on which no request has carried the secret yet.
//!
//! Every process in the sandbox can open one, so they have slots of their own: they take none from
//! clients. A new connection waits in the kernel's backlog while every slot is taken. Each time
//! that happens, the oldest connection is evicted, if it is older than [`GRACE`]: a client sends
//! the secret as soon as it is connected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbox_protocol::limits::Limit;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection is never evicted: of a thousand clients that connect at once, the last
/// sends the secret after tens of milliseconds.
const GRACE: Duration = Duration::from_millis(250);

/// How long an evicted connection may take to close, until another is evicted.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(5);

/// The slots of unauthenticated connections.
#[derive(Debug, Clone)]
pub struct Unauthenticated {
    free: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
    grace: Duration,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// By number: older ones before younger ones. Evicted ones are not in it.
    opened: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// The slot of a connection, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    number: u64,
    table: Arc<Mutex<Table>>,
    evicted: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Unauthenticated {
    /// Makes `limit` slots, for connections that have `timeout` to send the secret.
    pub fn new(limit: Limit, timeout: Duration) -> Self {
        let slots = usize::try_from(limit.value).unwrap_or(usize::MAX);
        Self {
            free: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            table: Arc::default(),
            grace: GRACE.min(timeout),
        }
    }

    /// A slot for the connection that was just opened, as soon as one is free.
    pub async fn slot(&self) -> Slot {
        loop {
            let wait = match self.free.available_permits() {
                0 => self.evict(),
                _ => Duration::MAX,
            };
            // The semaphore is never closed.
            if let Ok(Ok(permit)) = timeout(wait, Arc::clone(&self.free).acquire_owned()).await {
                return self.enter(permit);
            }
        }
    }

    fn enter(&self, permit: OwnedSemaphorePermit) -> Slot {
        let mut table = lock(&self.table);
        table.last += 1;
        let (number, evicted) = (table.last, Arc::new(Notify::new()));
        table
            .opened
            .insert(number, (Instant::now(), Arc::clone(&evicted)));
        Slot {
            number,
            table: Arc::clone(&self.table),
            evicted,
            _permit: permit,
        }
    }

    /// Evicts the oldest connection, if its grace is over. Returns how long to wait for a slot
    /// before the next try.
    fn evict(&self) -> Duration {
        let mut table = lock(&self.table);
        let Some(oldest) = table.opened.first_entry() else {
            return CLOSE_TIMEOUT;
        };
        let (opened, evicted) = oldest.get();
        let rest = self.grace.saturating_sub(opened.elapsed());
        if !rest.is_zero() {
            return rest;
        }
        evicted.notify_one();
        oldest.remove();
        CLOSE_TIMEOUT
    }
}

impl Slot {
    /// Resolves when the connection is to be closed for others.
    pub fn evicted(&self) -> impl Future<Output = ()> + use<> {
        let evicted = Arc::clone(&self.evicted);
        async move { evicted.notified().await }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.table).opened.remove(&self.number);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
