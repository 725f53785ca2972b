//! Runs sandboxes as bubblewrap process trees on this machine.
//!
//! A Sandbox object controls it by the calls that [`sandbox_protocol::local`] lists. [`http`]
//! answers them, [`runtime`] knows every sandbox, one task ([`supervision`]) owns each [`boot`] of
//! a `sandboxd` from its start to its end, [`bubblewrap`] decides what a sandbox sees of the
//! machine, [`state_dir`] manages its files and cleans up after a killed predecessor.
//!
//! Requests to `sandboxd` do not pass through here: it inherits a listening socket of this machine's
//! network, and the object gets the socket's address. The S3 requests of a sandbox to its object do
//! pass through here: [`bucket_proxy`]. One more task ([`uplink`]) connects a boot that has a network
//! of its own, by [`slirp`], with [`names`] for it.
//!
//! [`store`] is a program of its own, `snapshot-store`.
//!
//! The kernel kills a sandbox when the thread that started it ends, so that none outlives this
//! process. Everything therefore runs on one thread: the tokio runtime must have the current-thread
//! flavor.

pub mod boot;
pub mod bubblewrap;
pub mod bucket_proxy;
pub mod connections;
pub mod error;
pub mod http;
pub mod launch;
pub mod names;
pub mod phase;
pub mod process;
pub mod runtime;
pub mod slirp;
pub mod state_dir;
pub mod store;
pub mod supervision;
pub mod uplink;

pub use error::Error;

/// A secret for a URL: 128 random bits in hex.
///
/// # Errors
///
/// The kernel gives no random bytes.
pub fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
