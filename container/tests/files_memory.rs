//! Transfers of large files take bounded memory. A binary of its own: it measures the whole
//! process.

#![allow(clippy::unwrap_used)]

mod served;

use std::fs::File;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use served::{Served, status};

const MIB: usize = 1024 * 1024;

/// The most memory that this process ever had resident, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_stream_in_bounded_memory() {
    let served = Served::start().await;
    assert_eq!(served.put("warm-up", vec![0; 4 * MIB]).await.status(), 200);
    let before = peak();
    File::create(served.inside("large"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();

    // Readers that do not read.
    let request = b"GET /file/workspace/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut readers: Vec<_> = (0..4).map(|_| served.send(request)).collect();
    thread::sleep(Duration::from_secs(1));
    // A reader that does read.
    let mut reader = readers.pop().unwrap();
    let mut buffer = vec![0; MIB / 4];
    let mut left = 256 * MIB;
    while left > 0 {
        left = left.saturating_sub(reader.read(&mut buffer).unwrap());
    }

    let head = format!(
        "PUT /file/workspace/up HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        256 * MIB
    );
    let mut writer = served.send(head.as_bytes());
    for _ in 0..1024 {
        writer.write_all(&buffer).unwrap();
    }
    assert_eq!(status(&mut writer), 200);

    let grown = peak() - before;
    assert!(grown < 48 * MIB, "grew by {} MiB", grown / MIB);
}
