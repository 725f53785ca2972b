//! The calls of the Worker and the WarmPool object to a Sandbox object.

/// A call to a Sandbox object that the object answers itself. Every other request is for `sandboxd`
/// and is forwarded with its path unchanged. (Durable Objects in Rust cannot serve JS RPC, so calls
/// are requests.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectCall {
    /// Whether the sandbox runs. Starts nothing. Answer: `{"running": bool}`.
    Running,
    /// End the sandbox and forget it; with `?save=true`, after its workspace was saved. Starts nothing.
    /// Answer: 204.
    Destroy,
    /// Start the sandbox if it does not run, for the pool. Answer: 204 once it answers, or the
    /// error: 503 `capacity_exceeded` when the platform has no capacity.
    Warm,
    /// Mount a bucket that the object itself serves to the sandbox: a [`crate::MountRequest`] that
    /// [`is_proxied`](crate::MountRequest::is_proxied). Answer: that of `sandboxd`.
    Mount,
    /// The [`crate::sandbox::SandboxInfo`] of the sandbox; 404 for one that never was. Starts nothing.
    Info,
    /// Change the settings: a [`crate::sandbox::SettingsPatch`]. Starts nothing. Answer: the
    /// [`crate::sandbox::SandboxInfo`].
    Configure,
    /// Put the sandbox to sleep if it runs. Answer: 204.
    Stop,
    /// Start the sandbox if it does not run; with `?without=restore`, without its last snapshot.
    /// Answer: the [`crate::sandbox::SandboxInfo`].
    Start,
    /// Save a directory: a [`crate::snapshot::SnapshotRequest`]. Answer: the
    /// [`crate::snapshot::Snapshot`].
    Snapshot,
    /// Restore a snapshot: a [`crate::snapshot::RestoreRequest`]. Answer: the
    /// [`crate::snapshot::Snapshot`].
    Restore,
    /// Prepare a fork. Starts nothing. Answer: a [`crate::snapshot::ForkSource`].
    Fork,
}

impl ObjectCall {
    const ALL: [Self; 11] = [
        Self::Running,
        Self::Destroy,
        Self::Warm,
        Self::Mount,
        Self::Info,
        Self::Configure,
        Self::Stop,
        Self::Start,
        Self::Snapshot,
        Self::Restore,
        Self::Fork,
    ];

    /// The path of the request.
    pub fn path(self) -> &'static str {
        match self {
            Self::Running => "/object/running",
            Self::Destroy => "/object/destroy",
            Self::Warm => "/object/warm",
            Self::Mount => "/object/mount",
            Self::Info => "/object/info",
            Self::Configure => "/object/configure",
            Self::Stop => "/object/stop",
            Self::Start => "/object/start",
            Self::Snapshot => "/object/snapshot",
            Self::Restore => "/object/restore",
            Self::Fork => "/object/fork",
        }
    }

    /// The call behind a path, if it is one.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_and_never_meet_those_of_sandboxd() {
        for call in ObjectCall::ALL {
            assert_eq!(ObjectCall::from_path(call.path()), Some(call));
        }
        for path in [
            crate::sandboxd::EXEC,
            crate::sandboxd::HEALTH,
            "/file/workspace/object/running",
            "/object",
            crate::s3::OBJECT,
        ] {
            assert_eq!(ObjectCall::from_path(path), None);
        }
    }
}
