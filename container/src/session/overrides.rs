//! The parameters that apply to one command of a session alone.

use std::path::PathBuf;

use super::state::Env;

/// The directory and the variables of one command alone.
#[derive(Debug, Default)]
pub struct Overrides {
    /// The directory to start in, if not the session's.
    pub cwd: Option<PathBuf>,
    /// Variables that override the session's.
    pub env: Env,
}
