//! Archives of any size take bounded memory, and leave nothing behind.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use sandbox_protocol::ErrorCode;
use tar::EntryType;

use crate::archive::{Archive, gzip, zstd};
use crate::support::{Sandboxd, eventually, names};

const MIB: u64 = 1024 * 1024;

/// The most that archives may add to the memory of `sandboxd`.
const BOUND_KIB: u64 = 40 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn sparse_files_are_neither_read_nor_written_in_full() {
    let sandboxd = Sandboxd::start();
    let sparse = File::create(sandboxd.inside("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    sparse.write_all_at(b"middle", 700_000_000).unwrap();
    let before = sandboxd.memory_kib("VmHWM");
    let archive = sandboxd.persist("format=tar.zst").await;
    assert!(archive.len() < 1 << 20, "{} bytes", archive.len());
    sparse.write_all_at(b"MIDDLE", 700_000_000).unwrap();
    sandboxd.hydrate(archive).await;
    let metadata = fs::metadata(sandboxd.inside("sparse")).unwrap();
    assert_eq!(metadata.len(), 1 << 30);
    assert!(metadata.blocks() * 512 < 2 * MIB, "{} blocks", metadata.blocks());
    let mut middle = [0; 6];
    let unpacked = File::open(sandboxd.inside("sparse")).unwrap();
    unpacked.read_exact_at(&mut middle, 700_000_000).unwrap();
    assert_eq!(&middle, b"middle");
    let grown = sandboxd.memory_kib("VmHWM") - before;
    assert!(grown < BOUND_KIB, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_given_back() {
    let sandboxd = Sandboxd::start();
    let idle = sandboxd.memory_kib("VmRSS");
    let open_files = || fs::read_dir(sandboxd.proc("fd")).unwrap().count();
    let before = open_files();
    // A body of many large files, made as it is sent.
    let part = Archive::default()
        .file("large", &vec![b'x'; 16 * MIB as usize])
        .unfinished();
    let parts = (0..16).map(move |_| Ok::<_, std::io::Error>(bytes::Bytes::from(part.clone())));
    let end = [Ok(bytes::Bytes::from(vec![0; 1024]))];
    sandboxd
        .hydrate(reqwest::Body::wrap_stream(futures_util::stream::iter(
            parts.chain(end),
        )))
        .await;
    // Clients that do not read.
    let readers: Vec<_> = (0..4)
        .map(|_| sandboxd.raw("GET /persist HTTP/1.1", b""))
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(sandboxd.activity().await.requests, 4);
    let mut reader = sandboxd.raw("GET /persist HTTP/1.1\r\nConnection: close", b"");
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    let peak = sandboxd.memory_kib("VmHWM") - idle;
    assert!(peak < BOUND_KIB, "{peak} KiB");
    // Clients that leave.
    drop(readers);
    eventually("their threads end", || {
        fs::read_dir(sandboxd.proc("task")).unwrap().count() < 20
    });
    eventually("memory is given back", || {
        sandboxd.memory_kib("VmRSS") < idle + 5 * 1024
    });
    eventually("their connections are closed", || open_files() < before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_archives_that_break_off_leave_nothing() {
    let sandboxd = Sandboxd::start();
    let entries = |directory: &str| fs::read_dir(sandboxd.proc(directory)).unwrap().count();
    let before = (sandboxd.memory_kib("VmRSS"), entries("fd"), entries("task"));
    let begun = Archive::default()
        .file("dir/f", &vec![b'x'; MIB as usize])
        .unfinished();
    for _ in 0..20 {
        let head = "POST /hydrate HTTP/1.1\r\nContent-Length: 100000000";
        let bodies: Vec<_> = (0..10).map(|_| sandboxd.raw(head, &begun)).collect();
        drop(bodies);
    }
    sandboxd.wait_until_clean();
    assert_eq!(names(&sandboxd.inside("")), [""; 0]);
    eventually("no request is counted any more", || entries("fd") < before.1 + 3);
    assert_eq!(sandboxd.activity().await.requests, 0);
    // The threads of tokio's pool stay for a while.
    eventually("their threads end", || entries("task") < before.2 + 4);
    eventually("their memory is given back", || {
        sandboxd.memory_kib("VmRSS") < before.0 + 5 * 1024
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_take_no_memory() {
    let sandboxd = Sandboxd::start();
    let before = sandboxd.memory_kib("VmHWM");
    // Names, attributes and maps without an end.
    let text = vec![b'n'; 64 * MIB as usize];
    for kind in [
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
    ] {
        let bomb = Archive::default()
            .member(kind, "bomb", "", 0o644, &text)
            .file("f", b"x");
        let (status, code, text) = sandboxd.error_of(gzip(&bomb.end())).await;
        assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{text}");
    }
    // A frame that asks for a window of 128 MiB.
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&text).unwrap();
    let (status, _, text) = sandboxd.error_of(encoder.finish().unwrap()).await;
    assert_eq!(status, 400, "{text}");
    // Zeros behind the end, and a file of zeros: only time, and a hole.
    let zeros = Archive::default()
        .file("zeros", &vec![0; 256 * MIB as usize])
        .end();
    sandboxd
        .hydrate(zstd(&[zeros, vec![0; 64 * MIB as usize]].concat()))
        .await;
    assert!(fs::metadata(sandboxd.inside("zeros")).unwrap().blocks() * 512 < MIB);
    let grown = sandboxd.memory_kib("VmHWM") - before;
    assert!(grown < BOUND_KIB, "{grown} KiB");
    sandboxd.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_and_directories() {
    let sandboxd = Sandboxd::start();
    let mut archive = Archive::default();
    for i in 0..4_000 {
        archive = archive
            .directory(&format!("d{}/e{i}/", i % 100))
            .file(&format!("d{}/e{i}/f", i % 100), b"small");
    }
    let before = sandboxd.memory_kib("VmHWM");
    sandboxd.hydrate(gzip(&archive.end())).await;
    assert_eq!(names(&sandboxd.inside("")).len(), 100);
    let out = sandboxd.persist("").await;
    let mut out = tar::Archive::new(out.as_slice());
    assert_eq!(out.entries().unwrap().count(), 1 + 100 + 8_000);
    let grown = sandboxd.memory_kib("VmHWM") - before;
    assert!(grown < BOUND_KIB, "{grown} KiB");
    let mut text = String::new();
    File::open(sandboxd.inside("d7/e1007/f"))
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "small");
}
