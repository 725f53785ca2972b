//! Enforces a [`Limit`]: on the number of entries in a table, and on the bytes that all buffers
//! share.
//!
//! A table has a [`Quota`]. Each entry takes a [`Permit`] and holds it for as long as it is in the
//! table. A quota that is used up fails at once, with an error that names its variable: to wait
//! would only move the queue.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use sandbox_protocol::limits::Limit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// A limit on how many of something there are at a time.
#[derive(Debug, Clone)]
pub struct Quota {
    free: Arc<Semaphore>,
    what: &'static str,
    limit: Limit,
}

/// A slot in a table, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Quota {
    /// A quota of at most `limit` of `what`, a noun in the plural.
    pub fn new(what: &'static str, limit: Limit) -> Self {
        Self {
            free: Arc::new(Semaphore::new(permits(limit.value))),
            what,
            limit,
        }
    }

    /// Takes one permit. Error: the limit is reached.
    pub fn take(&self) -> Result<Permit, Error> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(_) => Err(self.limit_error()),
        }
    }

    /// The error for a limit that is reached.
    pub fn limit_error(&self) -> Error {
        Error::Limit {
            what: self.what,
            limit: self.limit,
        }
    }
}

/// The unit in which buffers are counted, in bytes.
const UNIT: u64 = 1024;

/// The number of bytes that all buffers may hold together.
#[derive(Debug, Clone)]
pub struct Buffers {
    free: Arc<Semaphore>,
    limit: Limit,
    reclaim: Arc<OnceLock<Arc<dyn Reclaim>>>,
}

/// Holders of buffers that give some of them back when others need them.
pub trait Reclaim: Debug + Send + Sync {
    /// Frees at least `bytes`, if it can; returns whether it has freed any.
    fn reclaim(&self, bytes: u64) -> bool;
}

/// A permit for the bytes of a buffer, until it is dropped. The default is for none.
#[derive(Debug, Default)]
#[must_use]
pub struct BufferPermit {
    held: Option<OwnedSemaphorePermit>,
}

impl BufferPermit {
    /// Gives back everything beyond `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if let Some(held) = &mut self.held {
            let spare = held.num_permits().saturating_sub(permits(bytes.div_ceil(UNIT)));
            drop(held.split(spare));
        }
    }
}

impl Default for Buffers {
    /// No limit.
    fn default() -> Self {
        Self::new(Limit {
            name: "",
            value: u64::MAX,
        })
    }
}

impl Buffers {
    /// At most `limit` bytes.
    pub fn new(limit: Limit) -> Self {
        Self {
            free: Arc::new(Semaphore::new(permits(limit.value / UNIT))),
            limit,
            reclaim: Arc::default(),
        }
    }

    /// The most bytes of all buffers together.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Reclaims bytes from `holder` when there are not enough.
    pub fn set_reclaimer(&self, holder: Arc<dyn Reclaim>) {
        // Only the first one counts.
        let _ = self.reclaim.set(holder);
    }

    /// Takes a permit for `bytes`. Error: less is free.
    pub fn take(&self, bytes: u64) -> Result<BufferPermit, Error> {
        let mut permit = BufferPermit::default();
        self.grow(&mut permit, bytes)?;
        Ok(permit)
    }

    /// Grows `permit` to at least `bytes` in all. Error: less is free; the permit stays as
    /// it is.
    pub fn grow(&self, permit: &mut BufferPermit, bytes: u64) -> Result<(), Error> {
        let has = permit.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = permits(bytes.div_ceil(UNIT)).saturating_sub(has);
        if missing == 0 {
            return Ok(());
        }
        let acquire = |units| Arc::clone(&self.free).try_acquire_many_owned(units).ok();
        let reclaim = |units: u32| {
            let holder = self.reclaim.get()?;
            let is_possible = u64::from(units) * UNIT <= self.limit.value;
            // Another thread may be faster and take what was freed.
            while is_possible && holder.reclaim(u64::from(units) * UNIT) {
                if let Some(acquired) = acquire(units) {
                    return Some(acquired);
                }
            }
            None
        };
        let acquired = u32::try_from(missing)
            .ok()
            .and_then(|units| acquire(units).or_else(|| reclaim(units)))
            .ok_or(Error::Limit {
                what: "bytes in buffers",
                limit: self.limit,
            })?;
        match &mut permit.held {
            Some(held) => held.merge(acquired),
            none => *none = Some(acquired),
        }
        Ok(())
    }
}

/// The number of permits of a semaphore, which has a maximum.
fn permits(value: u64) -> usize {
    usize::try_from(value)
        .unwrap_or(usize::MAX)
        .min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn limit(value: u64) -> Limit {
        Limit {
            name: "SANDBOX_MAX_THINGS",
            value,
        }
    }

    #[test]
    fn a_quota_refuses_by_name_and_takes_back() {
        let quota = Quota::new("things at a time", limit(2));
        let permits = [quota.take().unwrap(), quota.take().unwrap()];
        let error = quota.take().unwrap_err();
        assert_eq!(
            error.to_string(),
            "too many things at a time: the limit is 2 (SANDBOX_MAX_THINGS)"
        );
        assert_eq!(error.parts().0, 503);
        drop(permits);
        let _permit = quota.take().unwrap();
    }

    #[test]
    fn buffers_share_their_bytes() {
        let buffers = Buffers::new(limit(4 * UNIT));
        let mut one = buffers.take(1).unwrap();
        let other = buffers.take(2 * UNIT).unwrap();
        buffers.grow(&mut one, 2 * UNIT).unwrap();
        buffers.grow(&mut one, UNIT).unwrap();
        assert!(buffers.grow(&mut one, 2 * UNIT + 1).is_err());
        assert!(buffers.take(1).is_err());
        drop(other);
        buffers.grow(&mut one, 4 * UNIT).unwrap();
        one.shrink(2 * UNIT);
        let other = buffers.take(2 * UNIT).unwrap();
        drop((one, other));
        let _all = buffers.take(4 * UNIT).unwrap();
        assert!(buffers.take(u64::MAX).is_err());
    }

    /// Gives back one permit at a time. Another thread takes the first ones before the caller can.
    #[derive(Debug, Default)]
    struct Contended {
        buffers: Buffers,
        held: Mutex<Vec<BufferPermit>>,
        taken: AtomicUsize,
    }

    impl Reclaim for Contended {
        fn reclaim(&self, _: u64) -> bool {
            let freed = self.held.lock().unwrap().pop();
            let is_freed = freed.is_some();
            drop(freed);
            if is_freed && self.taken.fetch_add(1, Ordering::Relaxed) < 2 {
                std::mem::forget(self.buffers.take(UNIT).unwrap());
            }
            is_freed
        }
    }

    #[test]
    fn what_another_thread_takes_first_is_reclaimed_again() {
        let buffers = Buffers::new(limit(4 * UNIT));
        let held = (0..4).map(|_| buffers.take(UNIT).unwrap()).collect();
        let holder = Contended {
            // Without the holder, which is set below.
            buffers: Buffers {
                reclaim: Arc::default(),
                ..buffers.clone()
            },
            held: Mutex::new(held),
            taken: AtomicUsize::new(0),
        };
        buffers.set_reclaimer(Arc::new(holder));
        let _third = buffers.take(UNIT).unwrap();
        let _fourth = buffers.take(UNIT).unwrap();
        assert!(buffers.take(UNIT).is_err());
    }
}
