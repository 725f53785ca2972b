//! Cloudflare's list prices on the plan Workers Paid, in dollars, beyond what the plan includes.
//!
//! - <https://developers.cloudflare.com/workers/platform/pricing/>
//! - <https://developers.cloudflare.com/durable-objects/platform/pricing/>
//! - <https://developers.cloudflare.com/containers/pricing/>

use crate::usage::Usage;

const MILLION: f64 = 1e6;

/// A request to a Worker.
pub const WORKER_REQUEST: f64 = 0.30 / MILLION;
/// A millisecond of CPU time of a Worker.
pub const CPU_MS: f64 = 0.02 / MILLION;
/// A request to a Durable Object, or one of its alarms.
pub const OBJECT_REQUEST: f64 = 0.15 / MILLION;
/// A second of a Durable Object in memory: 128 MB, at $12.50 per million GB-s.
pub const OBJECT_SECOND: f64 = 12.50 * 0.128 / MILLION;
/// A row read.
pub const ROW_READ: f64 = 0.001 / MILLION;
/// A row written or deleted, and an alarm that is set.
pub const ROW_WRITTEN: f64 = 1.00 / MILLION;
/// A GB stored for a month.
pub const STORED_GB_MONTH: f64 = 0.20;
/// A GiB of memory of a container for a second.
pub const MEMORY_GIB_SECOND: f64 = 0.000_002_5;
/// A vCPU that works for a second.
pub const VCPU_SECOND: f64 = 0.000_020;
/// A GB of disk of a container for a second.
pub const DISK_GB_SECOND: f64 = 0.000_000_07;

/// The CPU time of a request that passes the Worker and the Sandbox object, in milliseconds: measured
/// for an exec, see docs/performance.md.
pub const REQUEST_CPU_MS: f64 = 1.13;

/// A size of sandboxes.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Its name.
    pub name: &'static str,
    /// The vCPUs that it may use at most.
    pub vcpu: f64,
    /// Its memory, in GiB.
    pub memory_gib: f64,
    /// Its disk, in GB.
    pub disk_gb: f64,
}

/// The sizes that the platform documents.
pub const SIZES: [Size; 6] = [
    size("lite", 1.0 / 16.0, 0.25, 2.0),
    size("basic", 0.25, 1.0, 4.0),
    size("standard-1", 0.5, 4.0, 8.0),
    size("standard-2", 1.0, 6.0, 12.0),
    size("standard-3", 2.0, 8.0, 16.0),
    size("standard-4", 4.0, 12.0, 20.0),
];

const fn size(name: &'static str, vcpu: f64, memory_gib: f64, disk_gb: f64) -> Size {
    Size {
        name,
        vcpu,
        memory_gib,
        disk_gb,
    }
}

/// The price of requests and rows, without the CPU time and the time of the objects in memory.
pub fn requests_and_rows(usage: Usage) -> f64 {
    usage.worker * WORKER_REQUEST
        + usage.object_requests() * OBJECT_REQUEST
        + usage.reads * ROW_READ
        + usage.rows_written() * ROW_WRITTEN
}
