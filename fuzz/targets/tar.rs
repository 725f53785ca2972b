//! An archive, plain or compressed, unpacked by sandboxd's own reader over a workspace with things
//! in it: nothing outside changes, nothing is left behind, what is refused changes nothing, what is
//! unpacked is harmless, and memory is bounded.
//!
//! The inputs are archives. The mutator mends the checksums of headers, or no mutation would come
//! past them.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, FileType, Permissions};
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sandbox_protocol::Limits;
use sandboxd::quota::Buffers;
use sandboxd::workspace::Archives;
use tempfile::TempDir;

/// The most memory that one archive may take, in bytes: two extensions of 1 MiB, a sparse map of 4
/// MiB (twice while it grows), and buffers. The windows of decoders are the C library's and not
/// counted.
const MAX_MEMORY: usize = 24 << 20;

const BLOCK: usize = 512;

/// The system's allocator, and how much is taken from it.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(taken, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A directory with a workspace in it, and things beside it.
struct Scene {
    directory: TempDir,
    archives: Archives,
    beside: BTreeMap<PathBuf, Entry>,
}

/// The visible properties of a file.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: FileType,
    mode: u32,
    size: u64,
    links: u64,
    inode: u64,
    modified: (i64, i64),
    target: Option<PathBuf>,
}

thread_local! {
    static SCENE: RefCell<Scene> = RefCell::new(Scene::new());
}

fuzz_target!(|archive: &[u8]| SCENE.with_borrow_mut(|scene| scene.unpack(archive)));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    // Wrong checksums are inputs, too.
    if !seed.is_multiple_of(16) {
        mend(&mut data[..size]);
    }
    size
});

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let workspace = directory.path().join("workspace");
        fs::create_dir(&workspace).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/file"), "outside").unwrap();
        fs::write(directory.path().join("file"), "outside").unwrap();
        let limits = Limits::from_vars(|_| None).unwrap();
        let archives = Archives::open(&workspace, None, None, &limits, Buffers::default()).unwrap();
        let mut scene = Self {
            directory,
            archives,
            beside: BTreeMap::new(),
        };
        scene.beside = scene.outside();
        scene
    }

    fn workspace(&self) -> PathBuf {
        self.directory.path().join("workspace")
    }

    fn unpack(&mut self, archive: &[u8]) {
        let workspace = self.workspace();
        fs::write(workspace.join("file"), "old").unwrap();
        fs::create_dir(workspace.join("directory")).unwrap();
        fs::write(workspace.join("directory/file"), "old").unwrap();
        symlink("../outside", workspace.join("out")).unwrap();
        symlink("../../outside/file", workspace.join("directory/out")).unwrap();
        let before = list(&workspace);

        let body = Cursor::new(archive.to_vec());
        let taken = TAKEN.load(Relaxed);
        MOST.store(taken, Relaxed);
        let unpacked = self.archives.unpack(body, None);
        let most = MOST.load(Relaxed) - taken;
        assert!(most <= MAX_MEMORY, "{most} bytes of memory");

        open(&workspace, fs::metadata(&workspace).unwrap().mode());
        let after = list(&workspace);
        match unpacked {
            Ok(()) => {
                for (path, entry) in &after {
                    let is_plain = entry.kind.is_file() || entry.kind.is_dir() || entry.kind.is_symlink();
                    assert!(is_plain, "{path:?}: {entry:?}");
                    assert_eq!(entry.mode & 0o6000, 0, "{path:?}: {entry:?}");
                }
                // It replaces things, and removes none.
                assert!(before.keys().all(|path| after.contains_key(path)));
            }
            // The error was found before anything was moved.
            Err(e) if e.parts().0 == 400 => assert_eq!(before, after, "{e}"),
            Err(e) => assert!(matches!(e.parts().0.as_u16(), 502 | 507), "{e}"),
        }
        assert_eq!(self.outside(), self.beside);
        self.clear();
    }

    /// All that is not in the workspace. Its own entry is left out: what is unpacked may set its
    /// mode and time.
    fn outside(&self) -> BTreeMap<PathBuf, Entry> {
        let mut all = list(self.directory.path());
        let workspace = self.workspace();
        all.retain(|path, _| !path.starts_with(&workspace));
        all
    }

    fn clear(&self) {
        for entry in fs::read_dir(self.workspace()).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// Everything below a directory. Directories' own times and links change with what is in them, so
/// they do not count. Those that only root could look into are opened once their mode is noted.
fn list(directory: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let status = path.symlink_metadata().unwrap();
            let is_directory = status.is_dir();
            let mut entry = Entry {
                kind: status.file_type(),
                mode: status.mode(),
                size: status.size(),
                links: status.nlink(),
                inode: status.ino(),
                modified: (status.mtime(), status.mtime_nsec()),
                target: fs::read_link(&path).ok(),
            };
            if is_directory {
                (entry.size, entry.links, entry.modified) = (0, 0, (0, 0));
                open(&path, status.mode());
                left.push(path.clone());
            }
            found.insert(path, entry);
        }
    }
    found
}

fn open(directory: &Path, mode: u32) {
    if mode & 0o700 != 0o700 {
        fs::set_permissions(directory, Permissions::from_mode(mode | 0o700)).unwrap();
    }
}

/// Gives every header of a plain archive the checksum that it ought to have.
fn mend(archive: &mut [u8]) {
    let mut rest = archive;
    while rest.len() >= BLOCK {
        let (header, data) = rest.split_at_mut(BLOCK);
        if header.iter().any(|byte| *byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        // A size that is no number is none that anything follows.
        let size = str::from_utf8(&header[124..135]).ok();
        let size = size
            .and_then(|size| usize::from_str_radix(size.trim(), 8).ok())
            .unwrap_or(0);
        let blocks = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        rest = data.get_mut(blocks..).unwrap_or_default();
    }
}
