//! What a child executes, ready before the fork.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;
use std::ptr;

/// A program, its arguments and its environment as the kernel takes them.
///
/// The standard library's way, where something of ours runs between fork and exec, ends in `execvp`, which hands what the
/// kernel cannot execute to `/bin/sh`: garbage would then be the end of a shell and not an error.
pub struct Image {
    path: CString,
    argv: Pointers,
    env: Pointers,
}

/// Texts, and the array of pointers to them that ends in a null.
struct Pointers {
    pointers: Vec<*const c_char>,
    _texts: Vec<CString>,
}

// SAFETY: the pointers are to texts of the same struct, which nobody changes.
unsafe impl Send for Pointers {}
// SAFETY: as above.
unsafe impl Sync for Pointers {}

impl Pointers {
    fn of(texts: Vec<CString>) -> Self {
        let end = [ptr::null()];
        Self {
            pointers: texts.iter().map(|text| text.as_ptr()).chain(end).collect(),
            _texts: texts,
        }
    }
}

impl Image {
    /// What `command` executes under the name `argv0`; its environment must be cleared and set. Errors: a text has a NUL.
    pub fn of(command: &Command, argv0: &OsStr) -> io::Result<Self> {
        let text = |text: OsString| CString::new(text.into_vec());
        let argv = [argv0].into_iter().chain(command.get_args());
        let argv: Result<Vec<_>, _> = argv.map(|arg| text(arg.to_owned())).collect();
        let env = command.get_envs().filter_map(|(name, value)| {
            let mut entry = name.to_owned();
            entry.push("=");
            entry.push(value?);
            Some(text(entry))
        });
        let env: Result<Vec<_>, _> = env.collect();
        Ok(Self {
            path: CString::new(command.get_program().as_bytes())?,
            argv: Pointers::of(argv?),
            env: Pointers::of(env?),
        })
    }

    /// Becomes the program; gives the kernel's error when it cannot. Async-signal-safe.
    pub fn execute(&self) -> io::Error {
        // SAFETY: all three live as long as `self`, and both arrays end in a null.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.argv.pointers.as_ptr(),
                self.env.pointers.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }
}
