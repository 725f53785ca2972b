//! Runs sandboxes as bubblewrap process trees on this machine.
//!
//! A Sandbox object drives it by the calls that [`sandbox_protocol::local`] lists. [`http`] answers them, [`runtime`]
//! knows every sandbox, one task ([`supervision`]) owns each [`boot`] of a `sandboxd` from its start to its end, [`bubblewrap`] says what
//! a sandbox sees of the machine, [`state_dir`] keeps its files and finds what a killed predecessor left.
//!
//! Requests to `sandboxd` do not pass through here: it is born with a listening socket that was bound for it, and the
//! object is told the socket's address.
//!
//! The kernel kills a sandbox when the thread that started it ends, so that none outlives this process. Everything
//! therefore runs on one thread: the runtime must be of the current-thread flavor.

pub mod boot;
pub mod bubblewrap;
pub mod error;
pub mod http;
pub mod launch;
pub mod process;
pub mod runtime;
pub mod state_dir;
pub mod supervision;

pub use error::Error;
