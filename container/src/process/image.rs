//! A program image as the kernel takes it, prepared before the fork.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsString, c_char};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::ptr;

use rustix::io::Errno;

use super::directory::Directory;
use super::program::Program;

/// A program, its arguments, its environment and its working directory.
pub struct Image {
    directory: CString,
    path: CString,
    argv: Pointers,
    env: Pointers,
}

/// Strings, and a null-terminated array of pointers to them.
struct Pointers {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl Pointers {
    fn new(strings: Vec<CString>) -> Self {
        let end = [ptr::null()];
        Self {
            pointers: strings.iter().map(|string| string.as_ptr()).chain(end).collect(),
            _strings: strings,
        }
    }
}

impl Image {
    /// The image of `program` with the environment `env` in `directory`. Fails when a string
    /// contains a NUL.
    pub fn new(
        program: &Program<'_>,
        env: &BTreeMap<OsString, OsString>,
        directory: &Directory,
    ) -> Result<Self, NulError> {
        let argv = program.argv.iter().map(|arg| CString::new(arg.as_bytes()));
        let env = env.iter().map(|(name, value)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec())
        });
        Ok(Self {
            directory: CString::new(directory.path_in_child().as_os_str().as_bytes())?,
            path: CString::new(program.path.as_os_str().as_bytes())?,
            argv: Pointers::new(argv.collect::<Result<_, _>>()?),
            env: Pointers::new(env.collect::<Result<_, _>>()?),
        })
    }

    /// Enters the working directory. Async-signal-safe.
    pub fn enter_directory(&self) -> Result<(), Errno> {
        rustix::process::chdir(self.directory.as_c_str())
    }

    /// Executes the program; returns the kernel's error when it cannot. Async-signal-safe.
    pub fn execute(&self) -> Errno {
        // SAFETY: all three live as long as `self`, and both arrays end in a null.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.argv.pointers.as_ptr(),
                self.env.pointers.as_ptr(),
            )
        };
        Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOEXEC)
    }
}
