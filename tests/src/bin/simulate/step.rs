//! The usage of the steps in the life of a sandbox, on Cloudflare, under the policy `durable_object`.
//!
//! The rows of the Sandbox object are the keys of its storage: `record`, `boot_id`, `port`,
//! `secret_key`, and its alarm. A key that the object has in memory is not read.

use crate::usage::{Change, PERMIT_ROWS, Usage};

/// A report to the index.
fn report(change: Change, labels: u32) -> Usage {
    Usage {
        index: 1.0,
        index_writes: f64::from(change.rows(labels)),
        ..Usage::default()
    }
}

/// A call that gives, renews or takes back a permit.
fn permit() -> Usage {
    Usage {
        index: 1.0,
        index_writes: f64::from(PERMIT_ROWS),
        ..Usage::default()
    }
}

/// Rows that the Sandbox object reads and writes.
fn rows(reads: f64, writes: f64) -> Usage {
    Usage {
        reads,
        writes,
        ..Usage::default()
    }
}

/// The alarm of a Sandbox object.
fn alarm() -> Usage {
    Usage {
        sandbox: 1.0,
        ..Usage::default()
    }
}

/// `POST /v1/sandbox` with settings: the record and an alarm are written. The alarm comes
/// `INDEX_RETRY_INTERVAL` later. It makes the report again, which then writes nothing.
pub fn create(labels: u32) -> Usage {
    let repeated = Usage {
        index: 1.0,
        ..alarm() + rows(3.0, 0.0)
    };
    Usage::SANDBOX + rows(2.0, 2.0) + report(Change::Made, labels) + repeated
}

/// A start, without the request that needs it: an alarm, the record with the permit, the id, the
/// port and the key of the boot, the record with the state.
pub fn start(labels: u32, is_new: bool) -> Usage {
    let change = if is_new { Change::Made } else { Change::Changed };
    rows(4.0, 6.0) + permit() + report(change, labels)
}

/// The alarm of a running sandbox, which comes each `sleepAfter`, but at least each hour: it sets the
/// next one and renews the permit.
pub fn running_alarm() -> Usage {
    alarm() + rows(1.0, 1.0) + permit()
}

/// The end of a boot: the record is written, the permit given back.
fn end(labels: u32) -> Usage {
    rows(0.0, 1.0) + permit() + report(Change::Changed, labels)
}

/// The deletion of what belongs to a boot: its id, its port, its key. An alarm is set for the end of
/// the record.
fn clean_up() -> Usage {
    rows(3.0, 4.0)
}

/// The alarm that puts an idle sandbox to sleep.
pub fn sleep(labels: u32) -> Usage {
    alarm() + end(labels) + clean_up()
}

/// `POST …/stop` of a running sandbox, and the alarm after it.
pub fn stop(labels: u32) -> Usage {
    Usage::SANDBOX + end(labels) + alarm() + clean_up()
}

/// `DELETE` of a running sandbox: the record and an alarm are written; the alarm deletes four keys.
pub fn destroy(labels: u32) -> Usage {
    Usage::SANDBOX + rows(2.0, 6.0) + permit() + report(Change::Destroyed, labels) + alarm()
}

/// The alarm by which a stopped sandbox without settings is forgotten.
pub fn forget() -> Usage {
    alarm() + rows(3.0, 2.0) + report(Change::Destroyed, 0)
}

/// The first request after the object was evicted from memory while its sandbox runs, without the
/// request itself.
pub fn reload() -> Usage {
    rows(5.0, 0.0)
}
