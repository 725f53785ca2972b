//! Starts a child that executes a program.
//!
//! The child shares the memory of `sandboxd`, as after `vfork`, until it executes its program; the
//! calling thread waits until then. That is faster than a copy of the memory. No process of the
//! child's user can read this memory meanwhile, because `sandboxd` is not dumpable.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{io, ptr};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, ioctl_tiocsctty, setpgid, setrlimit, setsid, umask};
use rustix::stdio::stdin;
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::descriptors::{self, Assigned};
use super::directory::DELETED_FD;
use super::image::Image;
use crate::protect;
use crate::user::Ids;

/// The size of the child's stack until it executes its program, in bytes.
const STACK_SIZE: usize = 64 * 1024;

/// A child to start.
pub struct Fork<'a> {
    /// Its descriptors.
    pub descriptors: &'a Assigned<'a>,
    /// Its program.
    pub image: &'a Image,
    /// Its umask, if it differs from that of `sandboxd`.
    pub umask: Option<u32>,
    /// Whether its standard input is a terminal that it controls, as the leader of a session of its
    /// own. Otherwise it is the leader of a process group of its own.
    pub controls_terminal: bool,
    /// The limit of the processes of its user, if it differs from that of `sandboxd`.
    pub process_limit: Option<Rlimit>,
    /// The user that it runs as, if another than that of `sandboxd`, and its OOM score adjustment
    /// in decimal.
    pub user: Option<(&'a Ids, &'a [u8])>,
}

/// A start, in memory that the child shares.
struct Shared<'a> {
    fork: &'a Fork<'a>,
    /// The error that kept the child from executing its program; 0: none.
    error: AtomicI32,
}

impl Fork<'_> {
    /// Starts the child. Returns when it executes its program, or with the kernel's error.
    pub fn run(&self) -> io::Result<Pid> {
        let shared = Shared {
            fork: self,
            error: AtomicI32::new(0),
        };
        let mut stack = vec![MaybeUninit::<u128>::uninit(); STACK_SIZE / size_of::<u128>()];
        let signals = block_signals()?;
        // SAFETY: the child runs on a stack of its own. This thread waits until the child has
        // executed its program or ended (`CLONE_VFORK`), so both the stack and `shared` live long
        // enough. The child takes no lock, allocates nothing and handles no signal, see `execute`.
        let pid = unsafe {
            libc::clone(
                begin,
                stack.as_mut_ptr_range().end.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD,
                ptr::from_ref(&shared).cast_mut().cast(),
            )
        };
        let cloned = Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .ok_or_else(io::Error::last_os_error);
        // SAFETY: the mask is this thread's, from above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const signals, ptr::null_mut()) };
        let pid = cloned?;
        match shared.error.load(Ordering::Relaxed) {
            0 => Ok(pid),
            error => {
                // It has ended.
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }

    /// Executes the program in the child; returns the error that prevents it. Only system calls.
    fn execute(&self) -> Errno {
        match self.prepare() {
            Ok(()) => self.image.execute(),
            Err(e) => e,
        }
    }

    fn prepare(&self) -> Result<(), Errno> {
        self.descriptors.take()?;
        if self.controls_terminal {
            setsid()?;
            ioctl_tiocsctty(stdin())?;
        } else {
            setpgid(None, None)?;
        }
        if let Some(mask) = self.umask {
            umask(Mode::from_bits_truncate(mask));
        }
        if let Some(limit) = self.process_limit {
            setrlimit(Resource::Nproc, limit)?;
        }
        // With the rights of `sandboxd`.
        self.image.enter_directory()?;
        descriptors::close(DELETED_FD);
        if let Some((ids, oom_score)) = self.user {
            // First: another user may not write the score.
            protect::prefer_as_oom_victim(oom_score)?;
            set_thread_groups(&ids.groups)?;
            set_thread_gid(ids.gid)?;
            // The child has one thread, so that thread's ids are the process's.
            set_thread_uid(ids.uid)?;
        }
        // Last: a handler of `sandboxd` must not run in the child, in shared memory.
        reset_signals();
        Ok(())
    }
}

extern "C" fn begin(shared: *mut c_void) -> c_int {
    // SAFETY: it is the `Shared` of `run`, which lives until this process has executed its program
    // or ended.
    let shared = unsafe { &*shared.cast::<Shared<'_>>() };
    let error = shared.fork.execute();
    shared.error.store(error.raw_os_error(), Ordering::Relaxed);
    127
}

/// Blocks every signal for this thread. Returns the mask of before.
fn block_signals() -> io::Result<libc::sigset_t> {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are written before they are read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
            0 => Ok(before.assume_init()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Resets every signal that has a handler, and SIGPIPE, which `sandboxd` ignores, and unblocks all.
/// Signals that `sandboxd` was started to ignore stay ignored. Async-signal-safe.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: `action` is written before it is read; null pointers are left alone. The table of
        // handlers is the child's own. Fails for the signals that the C library keeps to itself.
        unsafe {
            if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0 {
                let handler = (*action.as_ptr()).sa_sigaction;
                let is_handled = handler != libc::SIG_DFL && handler != libc::SIG_IGN;
                if is_handled || signal == libc::SIGPIPE {
                    (*action.as_mut_ptr()).sa_sigaction = libc::SIG_DFL;
                    libc::sigaction(signal, action.as_ptr(), ptr::null_mut());
                }
            }
        }
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: the set is written before it is read.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}
