//! The folder of a kernel: its connection file, its sockets and what it runs first.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkdirat};
use serde_json::{Value, json};

use super::zmtp::Address;
use crate::random::random_name;
use crate::threads::PATHS;
use crate::user::Ids;

/// The directories that a folder may be in. Only root may write to the first, so that a folder there
/// cannot be exchanged for another.
const PLACES: [&str; 2] = ["/run", "/tmp"];

/// The program that prepares IPython.
const STARTUP: &str = include_str!("startup.py");

/// The way on which a kernel and `sandboxd` talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Unix sockets in the folder.
    Ipc,
    /// Ports of the loopback device, for kernels that know nothing else.
    Tcp,
}

/// The folder. It is removed when it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The addresses of the sockets: shell, iopub, stdin, control, heartbeat.
    addresses: [Address; 5],
}

impl Folder {
    /// Makes the folder of a kernel that signs with `key`, for the user `owner`. Blocks.
    pub fn new(key: &str, transport: Transport, owner: Option<&Ids>) -> io::Result<Self> {
        let path = make()?;
        let addresses = addresses(&path, transport)?;
        let folder = Self { path, addresses };
        let file = |name: &str, content: &str| -> io::Result<()> {
            let path = folder.path.join(name);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(content.as_bytes())?;
            own(&path, owner)
        };
        file("connection.json", &folder.connection(key, transport).to_string())?;
        file("startup.py", STARTUP)?;
        // Last: from then on, everything in it may be another thing.
        own(&folder.path, owner)?;
        Ok(folder)
    }

    /// The path of the connection file.
    pub fn connection_file(&self) -> PathBuf {
        self.path.join("connection.json")
    }

    /// The path of the program that prepares IPython.
    pub fn startup_file(&self) -> PathBuf {
        self.path.join("startup.py")
    }

    /// The address of the socket for requests to run code.
    pub fn shell(&self) -> &Address {
        let [shell, ..] = &self.addresses;
        shell
    }

    /// The address of the socket for output.
    pub fn iopub(&self) -> &Address {
        let [_, iopub, ..] = &self.addresses;
        iopub
    }

    /// The address of the socket for interrupts.
    pub fn control(&self) -> &Address {
        let [_, _, _, control, _] = &self.addresses;
        control
    }

    fn connection(&self, key: &str, transport: Transport) -> Value {
        let number = |address: &Address, index: u16| match address {
            Address::Tcp(port) => *port,
            Address::Unix(_) => index,
        };
        let [shell, iopub, stdin, control, heartbeat] = &self.addresses;
        let (name, ip) = match transport {
            Transport::Ipc => ("ipc", self.path.join("s").to_string_lossy().into_owned()),
            Transport::Tcp => ("tcp", "127.0.0.1".to_owned()),
        };
        json!({
            "transport": name,
            "ip": ip,
            "shell_port": number(shell, 1),
            "iopub_port": number(iopub, 2),
            "stdin_port": number(stdin, 3),
            "control_port": number(control, 4),
            "hb_port": number(heartbeat, 5),
            "key": key,
            "signature_scheme": "hmac-sha256",
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        PATHS.run_detached(move || {
            let parent = path.parent().unwrap_or(Path::new("/"));
            if let (Ok(parent), Some(name)) = (fs::File::open(parent), path.file_name())
                && let Err(e) = remove_tree::remove_tree(parent, name)
            {
                tracing::warn!(error = %e, "the folder of a kernel is left");
            }
        });
    }
}

/// Makes an empty directory with a random name.
fn make() -> io::Result<PathBuf> {
    let mut failure = io::Error::other("there is no place for the folder of a kernel");
    for place in PLACES {
        let path = Path::new(place).join(random_name("kernel-")?);
        match mkdirat(CWD, &path, Mode::RWXU) {
            Ok(()) => {
                fs::set_permissions(&path, Permissions::from_mode(0o700))?;
                return Ok(path);
            }
            Err(e) => failure = e.into(),
        }
    }
    Err(failure)
}

fn own(path: &Path, owner: Option<&Ids>) -> io::Result<()> {
    match owner {
        Some(ids) => chown(path, Some(ids.uid.as_raw()), Some(ids.gid.as_raw())),
        None => Ok(()),
    }
}

fn addresses(path: &Path, transport: Transport) -> io::Result<[Address; 5]> {
    if transport == Transport::Ipc {
        // The names that Jupyter makes of the fields of the connection file.
        return Ok([1, 2, 3, 4, 5].map(|number| Address::Unix(path.join(format!("s-{number}")))));
    }
    // Held together until all are known, so that they differ.
    let listener = || TcpListener::bind(("127.0.0.1", 0));
    let listeners = [listener()?, listener()?, listener()?, listener()?, listener()?];
    let mut ports = [0; 5];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports.map(Address::Tcp))
}
