//! Returns memory that was needed for a short time to the kernel.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::time::Duration;

/// The delay after the last large transfer. By then the buffers being sent are freed, and transfers
/// in a row cost one release.
const RELEASE_DELAY: Duration = Duration::from_millis(500);

/// How much free memory at the end of a heap the C library may keep, in bytes. It has a heap for
/// each of a few threads.
#[cfg(target_env = "gnu")]
const MAX_FREE: i32 = 512 * 1024;

/// The size in bytes from which a block is a mapping of its own: above our buffers, for which that
/// would be slow.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: i32 = 4 * 1024 * 1024;

/// Bounds the freed memory that the C library retains. Its default raises the bounds to twice the
/// largest buffer ever freed.
pub fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, and knows both settings.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, MAX_FREE);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}

/// Returns free memory to the kernel after `RELEASE_DELAY`. For transfers that move megabytes
/// through many small buffers: the C library retains those, per thread, long after they were freed.
/// Must be called on a tokio runtime.
pub fn release_later() {
    static PENDING: AtomicBool = AtomicBool::new(false);
    if PENDING.compare_exchange(false, true, AcqRel, Acquire).is_err() {
        return;
    }
    tokio::spawn(async {
        tokio::time::sleep(RELEASE_DELAY).await;
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
