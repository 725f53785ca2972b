//! The disk after `sandboxd` was killed at any time: whole files, and nothing else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::{self, Sandboxd, has_bubblewrap};

const ROUNDS: u64 = 200;
const SIZE: usize = 4 << 20;

#[test]
fn a_file_is_whole_after_a_kill_in_the_middle_of_uploads() {
    if !has_bubblewrap() {
        return;
    }
    let workspace = tempfile::tempdir().unwrap();
    let file = workspace.path().join("file");
    fs::write(&file, vec![b'0'; SIZE]).unwrap();
    let mut versions = std::collections::HashSet::new();
    for round in 0..ROUNDS {
        let sandboxd = namespaced(&workspace);
        let address = sandboxd.address;
        let uploads: Vec<_> = (b'a'..=b'd')
            .map(|version| thread::spawn(move || upload(address, version)))
            .collect();
        // Spread over the time that the uploads take.
        thread::sleep(Duration::from_micros(round * 150));
        sandboxd.signal("KILL");
        for upload in uploads {
            upload.join().unwrap();
        }
        drop(sandboxd);

        let content = fs::read(&file).unwrap();
        let version = content[0];
        assert_eq!(content.len(), SIZE, "round {round}");
        assert!(
            content.iter().all(|byte| *byte == version),
            "round {round}: two versions in one file"
        );
        versions.insert(version);
        // The unfinished upload is beside it, under a temporary name. In a container the disk ends
        // with its `sandboxd`.
        let strangers = fs::read_dir(workspace.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "file" && !name.starts_with(".sandbar-upload-"));
        assert_eq!(strangers.count(), 0, "round {round}");
    }
    assert!(versions.len() > 1, "some uploads came to their end");
}

/// A `sandboxd` in a namespace that dies with it, as in a container, on a workspace that outlives
/// it.
fn namespaced(workspace: &tempfile::TempDir) -> Sandboxd {
    let mut command = support::namespaced();
    command.args(["--listen", "127.0.0.1:0"]);
    // The last one counts.
    Sandboxd::start_command(command, |command| {
        command.arg("--workspace").arg(workspace.path());
    })
}

/// Sends a whole file, as far as it is taken.
fn upload(address: SocketAddr, version: u8) {
    let Ok(mut connection) = TcpStream::connect(address) else {
        return;
    };
    let head = format!(
        "PUT /file/workspace/file HTTP/1.1\r\nhost: x\r\ncontent-length: {SIZE}\r\nconnection: close\r\n\r\n"
    );
    let sent = connection
        .write_all(head.as_bytes())
        .and_then(|()| connection.write_all(&vec![version; SIZE]));
    if sent.is_ok() {
        let _ = connection.read_to_end(&mut Vec::new());
    }
}
