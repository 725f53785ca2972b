//! The command line of bubblewrap, which decides what a sandbox sees of this machine.
//!
//! The system is read-only (`/usr`, and of `/etc` only the files that programs need: no passwords,
//! no keys, no configuration of services). A sandbox has its own process tree and its own
//! directories. Those are on disk, so that files of a sandbox take no memory; only `/run`, for
//! sockets and pid files, is in memory. The network is its own, the machine's, or none.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::names;

/// The path of `sandboxd` inside a sandbox.
const SANDBOXD: &str = "/run/sandboxd";

/// Top-level directories beside `/usr` that contain programs and libraries, or link to them.
const SYSTEM: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// The entries of `/etc` that programs read.
const ETC: [&str; 27] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "login.defs",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
];

/// Directories below [`ETC`] with private keys, which root in a sandbox could read.
const PRIVATE_KEYS: [&str; 3] = ["/etc/ssl/private", "/etc/pki/tls/private", "/etc/pki/entitlement"];

/// The entries of `/proc` that configure the machine, not the sandbox. The user id 0 may write to
/// them without any capability, and bubblewrap protects only some of them.
const KERNEL_CONTROLS: [&str; 5] = [
    "/proc/acpi",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The capabilities of root inside a sandbox: to change owners of files and to become other users.
/// The others would reach the machine: mounts, devices, raw disks, raw network, modules, other
/// processes' memory, files by handle. An ordinary user has no capabilities.
const CAPABILITIES: [&str; 7] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
];

/// The further capabilities of `sandboxd` where the machine has FUSE: to mount buckets, and to
/// withhold that from commands.
const MOUNT_CAPABILITIES: [&str; 2] = ["CAP_SYS_ADMIN", "CAP_SETPCAP"];

/// The device of file systems in user space.
const FUSE: &str = "/dev/fuse";

/// The directory inside that contains the workspace, with space beside it on the same mount, to
/// unpack archives in.
const VOLUME: &str = "/run/volume";

/// The directories of a sandbox: the name below the sandbox's directory on the machine, the path
/// inside, the mode.
pub const OWN_DIRECTORIES: [(&str, &str, u32); 6] = [
    ("volume", VOLUME, 0o700),
    (
        "volume/workspace",
        sandbox_protocol::workspace_path::WORKSPACE,
        0o755,
    ),
    ("home", HOME, 0o755),
    ("mnt", "/mnt", 0o755),
    ("tmp", "/tmp", 0o1777),
    ("var-tmp", "/var/tmp", 0o1777),
];

/// The directory of the Jupyter kernels inside.
const KERNELS: &str = "/opt/kernels";

/// The home directory inside.
const HOME: &str = "/home/sandbox";

/// The default environment of `sandboxd`; the start can override it.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", HOME),
    ("LANG", "C.UTF-8"),
    ("JUPYTER_PATH", "/opt/kernels/share/jupyter"),
];

/// The network of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The network of this machine.
    Machine,
    /// One of its own, which slirp4netns connects.
    Own,
    /// Only a loopback device of its own.
    Loopback,
}

/// Whether `sandboxd` can mount buckets.
pub fn can_mount() -> bool {
    rustix::process::geteuid().is_root() && Path::new(FUSE).exists()
}

/// The arguments of `bwrap` that run the program `sandboxd` as process 1 of a sandbox with its
/// directories in `directory`. bubblewrap writes its process id outside to the descriptor
/// `info_fd`.
///
/// The Jupyter kernels in the directory `kernels` are there if it exists.
pub fn arguments(
    sandboxd: &Path,
    kernels: Option<&Path>,
    directory: &Path,
    info_fd: i32,
    network: Network,
) -> Vec<OsString> {
    let mut args = Arguments::default();
    if network != Network::Machine {
        args.add(["--unshare-net"]);
    }
    args.add(["--die-with-parent", "--new-session"]);
    args.add([
        "--unshare-pid",
        "--as-pid-1",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]);
    args.add(["--info-fd", &info_fd.to_string()]);
    let mounts = can_mount();
    if rustix::process::geteuid().is_root() {
        args.add(["--cap-drop", "ALL"]);
        for capability in CAPABILITIES
            .iter()
            .chain(MOUNT_CAPABILITIES.iter().filter(|_| mounts))
        {
            args.add(["--cap-add", *capability]);
        }
    }

    args.add(["--ro-bind", "/usr", "/usr"]);
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        // On a system with a merged /usr these are symbolic links into it.
        match std::fs::read_link(&path) {
            Ok(target) => args.add([OsStr::new("--symlink"), target.as_os_str(), path.as_os_str()]),
            Err(_) => args.add([OsStr::new("--ro-bind-try"), path.as_os_str(), path.as_os_str()]),
        }
    }
    // Parent directories that bubblewrap creates have the mode 0700.
    for parent in ["/etc", "/home", "/opt", "/var"] {
        args.add(["--perms", "0755", "--dir", parent]);
    }
    for name in ETC {
        let path = Path::new("/etc").join(name);
        let source = match network {
            Network::Own if names::FILES.contains(&name) => directory.join(name),
            _ => path.clone(),
        };
        args.add([OsStr::new("--ro-bind-try"), source.as_os_str(), path.as_os_str()]);
    }
    for path in PRIVATE_KEYS.into_iter().filter(|path| Path::new(path).is_dir()) {
        args.add(["--tmpfs", path, "--remount-ro", path]);
    }
    args.add(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]);
    if mounts {
        args.add(["--dev-bind", FUSE, FUSE]);
    }
    for path in KERNEL_CONTROLS {
        args.add(["--ro-bind-try", path, path]);
    }
    args.add(["--symlink", "/run", "/var/run"]);
    for (name, inside, _) in OWN_DIRECTORIES {
        args.add([
            OsStr::new("--bind"),
            directory.join(name).as_os_str(),
            OsStr::new(inside),
        ]);
    }
    if let Some(kernels) = kernels {
        args.add([
            OsStr::new("--ro-bind-try"),
            kernels.as_os_str(),
            OsStr::new(KERNELS),
        ]);
    }
    args.add([
        OsStr::new("--ro-bind"),
        sandboxd.as_os_str(),
        OsStr::new(SANDBOXD),
    ]);
    // The root of these mounts is a writable file system in memory.
    args.add(["--remount-ro", "/"]);
    args.add(["--chdir", sandbox_protocol::workspace_path::WORKSPACE]);
    args.add(["--", SANDBOXD, "--volume", VOLUME]);
    if mounts {
        args.add(["--reserve-mounting"]);
    }
    args.0
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<S: AsRef<OsStr>, const N: usize>(&mut self, args: [S; N]) {
        self.0.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
    }
}
