//! The descriptors that a child gets.
//!
//! A copy of a table of descriptors has to be closed, and to close a file of a bucket is to wait
//! for the bucket's store. So a child gets no copy of the table of `sandboxd`. It shares that table
//! at first, and then takes one of its own, which the kernel fills with the numbers below a bound
//! alone (`close_range` with `CLOSE_RANGE_UNSHARE`). All free numbers below the bound are reserved
//! here: a start puts the descriptors of its child there.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{DupFlags, Errno, dup2, dup3, fcntl_dupfd_cloexec};
use rustix::thread::futex;

/// The maximum number of descriptors of a child.
pub const MAX_DESCRIPTORS: usize = 6;

/// The lowest number that a child may get besides those of its standard streams.
pub const MIN_NUMBER: RawFd = 200;

/// The kernel copies a multiple of this number of descriptors, at least one.
const COPY_GRANULARITY: RawFd = 64;

static RESERVED: LazyLock<Result<Reserved, Errno>> = LazyLock::new(Reserved::new);

/// Reserves the numbers in this process, for good, before it opens a file that it closes again.
/// Fails when they cannot be opened, or are in use up to [`MIN_NUMBER`].
pub fn reserve() -> Result<&'static Reserved, Errno> {
    RESERVED.as_ref().map_err(|e| *e)
}

/// The numbers through which children get their descriptors, one child at a time.
#[derive(Debug)]
pub struct Reserved {
    numbers: [RawFd; MAX_DESCRIPTORS],
    /// Above all numbers that a child copies.
    bound: RawFd,
    null: OwnedFd,
    lock: Lock,
    /// The last start that has put descriptors there, and has not removed them.
    occupant: AtomicU32,
}

/// A descriptor for a child, and its number there: that of a standard stream, or at least
/// [`MIN_NUMBER`].
pub type Passed<'a> = (BorrowedFd<'a>, RawFd);

/// The descriptors of one child, at the reserved numbers.
#[derive(Debug)]
pub struct Assigned<'a> {
    reserved: &'a Reserved,
    /// The start, as the lock and the occupant know it.
    start: u32,
    /// The numbers in the child.
    targets: [Option<RawFd>; MAX_DESCRIPTORS],
}

impl Reserved {
    fn new() -> Result<Self, Errno> {
        let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        // Reserved for good.
        let reserve = || Ok(fcntl_dupfd_cloexec(&null, 3)?.into_raw_fd());
        let mut numbers = [0; MAX_DESCRIPTORS];
        for number in &mut numbers {
            *number = reserve()?;
        }
        let mut last = numbers.into_iter().max().unwrap_or_default();
        let bound = (last / COPY_GRANULARITY + 1) * COPY_GRANULARITY;
        if bound > MIN_NUMBER {
            return Err(Errno::MFILE);
        }
        // No file gets a number that the child copies.
        while last < bound {
            last = reserve()?;
        }
        Ok(Self {
            numbers,
            bound,
            null,
            lock: Lock::new(),
            occupant: AtomicU32::new(0),
        })
    }

    /// Waits until no other start uses the numbers, and puts the descriptors there. Errors are
    /// those of the kernel, and [`Errno::MFILE`] for more than [`MAX_DESCRIPTORS`].
    pub fn assign<'a>(&'a self, descriptors: &[Passed<'_>]) -> Result<Assigned<'a>, Errno> {
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::MFILE);
        }
        let start = self.lock.acquire();
        self.occupant.store(start, Ordering::Relaxed);
        let mut assigned = Assigned {
            reserved: self,
            start,
            targets: [None; MAX_DESCRIPTORS],
        };
        let targets = assigned.targets.iter_mut().zip(self.numbers).zip(descriptors);
        for ((target, number), (descriptor, wanted)) in targets {
            set(descriptor, number)?;
            *target = Some(*wanted);
        }
        Ok(assigned)
    }
}

impl Assigned<'_> {
    /// Gives the child, which shares the table of `sandboxd`, a table of its own with its
    /// descriptors, and lets other starts go on. Async-signal-safe.
    pub fn take(&self) -> Result<(), Errno> {
        let bound = self.reserved.bound.cast_unsigned();
        if !close_range(bound, u32::MAX, libc::CLOSE_RANGE_UNSHARE) {
            // This copies the whole table.
            // SAFETY: nothing in the child relies on a shared table.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FILES) }?;
        }
        self.release();
        let targets = self.reserved.numbers.into_iter().zip(self.targets);
        for (number, target) in targets.filter_map(|(number, target)| Some((number, target?))) {
            // SAFETY: the table is the child's own, and the descriptor is there, see `assign`.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            // SAFETY: as above: nothing in the child owns this number.
            let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(target) });
            dup2(descriptor, &mut target)?;
        }
        // The descriptors of other starts, such as the end of a pipe, must not stay open until this
        // child's program is loaded.
        close_range(3, bound.saturating_sub(1), 0);
        Ok(())
    }

    /// Lets other starts use the numbers. Called again, it does nothing.
    fn release(&self) {
        self.reserved.lock.release(self.start);
    }
}

impl Drop for Assigned<'_> {
    /// Removes the descriptors from the table of `sandboxd`, unless another start has replaced
    /// them.
    fn drop(&mut self) {
        // The child may have been killed before it could.
        self.release();
        let Reserved {
            numbers,
            null,
            lock,
            occupant,
            ..
        } = self.reserved;
        let own = lock.acquire();
        if occupant.load(Ordering::Relaxed) == self.start {
            for number in numbers {
                // Cannot fail: the number is open.
                let _ = set(null, *number);
            }
        }
        lock.release(own);
    }
}

/// Makes the reserved `number` a copy of `descriptor`, which children do not inherit.
fn set(descriptor: impl AsFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: the number is reserved, so it is open, and only the holder of the lock uses it.
    let mut number = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    dup3(descriptor, &mut number, DupFlags::CLOEXEC)
}

/// Closes `number` in the child, if it is open. Async-signal-safe.
pub fn close(number: RawFd) {
    let number = number.cast_unsigned();
    close_range(number, number, 0);
}

/// Returns whether it succeeded: Linux before 5.9 does not have it.
fn close_range(first: u32, last: u32, flags: u32) -> bool {
    // SAFETY: closes only descriptors that the callers name.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) == 0 }
}

/// A lock that one process acquires and another that shares its memory releases. Each acquisition
/// has a number, so that both may release it, in case that one of them is killed.
#[derive(Debug)]
struct Lock {
    /// The acquisition that holds it; 0: none.
    holder: AtomicU32,
    next: AtomicU32,
}

impl Lock {
    const fn new() -> Self {
        Self {
            holder: AtomicU32::new(0),
            next: AtomicU32::new(1),
        }
    }

    /// Waits until it is free. Returns the number of the acquisition.
    fn acquire(&self) -> u32 {
        // Odd, so never 0.
        let own = self.next.fetch_add(2, Ordering::Relaxed);
        while let Err(holder) = self
            .holder
            .compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed)
        {
            // Fails when the holder has changed meanwhile.
            let _ = futex::wait(&self.holder, futex::Flags::PRIVATE, holder, None);
        }
        own
    }

    /// Frees it if `acquisition` holds it. Async-signal-safe.
    fn release(&self, acquisition: u32) {
        let _ = self
            .holder
            .compare_exchange(acquisition, 0, Ordering::Release, Ordering::Relaxed);
        // In any case: another process may have been killed before it did this.
        let _ = futex::wake(&self.holder, futex::Flags::PRIVATE, 1);
    }
}
