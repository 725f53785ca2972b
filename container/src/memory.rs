//! Memory that was needed for a moment goes back to the kernel.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::time::Duration;

/// How long after the last large transfer: buffers on their way out are freed by then, and one transfer after the other
/// pays for it once.
const CALM: Duration = Duration::from_millis(500);

/// How much free memory at the end of a heap the C library may keep, in bytes. It has a heap for each of a few threads.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 512 * 1024;

/// From which size on a block is a mapping of its own, in bytes: above our buffers, for which that would be slow.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: i32 = 4 * 1024 * 1024;

/// Sets bounds to what the C library keeps of freed memory. By itself it raises them to twice the largest buffer that
/// it has ever seen.
pub fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, and knows both settings.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}

/// Gives free memory back to the kernel, soon. For what moves megabytes through many small buffers: the C library keeps
/// them, per thread, long after they were freed. Must be called on a tokio runtime.
pub fn release_soon() {
    static PENDING: AtomicBool = AtomicBool::new(false);
    if PENDING.compare_exchange(false, true, AcqRel, Acquire).is_err() {
        return;
    }
    tokio::spawn(async {
        tokio::time::sleep(CALM).await;
        PENDING.store(false, Release);
        let _ = tokio::task::spawn_blocking(release).await;
    });
}

#[cfg(target_env = "gnu")]
fn release() {
    // SAFETY: it may be called at any time, from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn release() {}
