//! Archives and bodies that are malformed or incomplete.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

use sandbox_protocol::ErrorCode;
use sandbox_protocol::sandboxd::{END_MARK_HEADER, MAX_UPLOAD_HEADER};

use crate::archive::{Archive, gzip, zstd};
use crate::support::{Sandboxd, error_of, eventually, names, snapshot};

/// Text and noise, so that it is some way through in every packing.
fn archive() -> Vec<u8> {
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let noise: Vec<u8> = (0..70_000).map(|_| noise()).collect();
    Archive::default()
        .directory("d/")
        .file("d/f", b"new")
        .file("f", b"new")
        .file("noise", &noise)
        .end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_archive_changes_nothing() {
    let archive = archive();
    let end = archive.len() - 1024;
    for whole in [archive.clone(), gzip(&archive), zstd(&archive)] {
        let sandboxd = Sandboxd::start();
        fs::write(sandboxd.inside("f"), "old").unwrap();
        let before = snapshot(&sandboxd.inside(""));
        let last = if whole == archive { end } else { whole.len() - 1 };
        let cuts = [
            1,
            2,
            3,
            4,
            5,
            20,
            511,
            512,
            513,
            1024,
            1536,
            1537,
            2560,
            3072,
            last / 2,
            last - 512,
            last - 1,
            last,
        ];
        for cut in cuts {
            let (status, code, text) = sandboxd.error_of(whole[..cut].to_vec()).await;
            assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{cut}: {text}");
            assert_eq!(snapshot(&sandboxd.inside("")), before, "{cut}");
            sandboxd.assert_clean();
        }
        sandboxd.hydrate(whole).await;
        assert_eq!(fs::read_to_string(sandboxd.inside("f")).unwrap(), "new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_archive() {
    let sandboxd = Sandboxd::start();
    let (status, code, text) = sandboxd.error_of("").await;
    assert_eq!(
        (status, code, text.as_str()),
        (400, ErrorCode::InvalidRequest, "Empty tar payload")
    );
    let mut flipped = archive();
    flipped[1536 + 20] ^= 1;
    let mut wrong_sum = gzip(&archive());
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let mut wrong_zstd = zstd(&archive());
    let at = wrong_zstd.len() - 2;
    wrong_zstd[at] ^= 1;
    for (what, body, word) in [
        ("text", b"hello".repeat(1000), "not a tar archive"),
        ("short text", b"hello".to_vec(), "not a tar archive"),
        ("JSON", br#"{"argv":["true"]}"#.to_vec(), "not a tar archive"),
        ("gzip of text", gzip(&b"hello".repeat(1000)), "not a tar archive"),
        ("gzip of nothing", gzip(b""), "not a tar archive"),
        ("zstd of nothing", zstd(b""), "not a tar archive"),
        ("a gzip header alone", vec![0x1f, 0x8b, 8, 0], "not a tar archive"),
        ("gzip of gzip", gzip(&gzip(&archive())), "not a tar archive"),
        ("a header's checksum", flipped, "checksum"),
        ("gzip's checksum", wrong_sum, "damaged"),
        ("zstd's checksum", wrong_zstd, "damaged"),
        (
            "one block of zeros short of a header",
            vec![0; 511],
            "not a tar archive",
        ),
    ] {
        let (status, code, text) = sandboxd.error_of(body).await;
        assert_eq!((status, code), (400, ErrorCode::InvalidRequest), "{what}: {text}");
        assert!(
            text.contains(word) || text.contains("truncated"),
            "{what}: {text}"
        );
        assert_eq!(names(&sandboxd.inside("")), [""; 0], "{what}");
        sandboxd.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_leaves_nothing() {
    let sandboxd = Sandboxd::start();
    let archive = archive();
    let staged = || names(sandboxd.parent.path()).len() == 3;
    for head in [
        format!("POST /hydrate HTTP/1.1\r\nContent-Length: {}", archive.len() + 5),
        "POST /hydrate HTTP/1.1\r\nTransfer-Encoding: chunked".to_owned(),
    ] {
        let body = match head.ends_with("chunked") {
            true => [format!("{:x}\r\n", archive.len()).as_bytes(), &archive, b"\r\n"].concat(),
            false => archive.clone(),
        };
        // Half closed: it ends early, and the client gets the error.
        let mut stream = sandboxd.raw(&head, &body);
        eventually("it is being unpacked", staged);
        assert_eq!(
            names(&sandboxd.inside("")),
            [""; 0],
            "nothing is in the workspace yet"
        );
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        sandboxd.assert_clean();
        // Gone.
        let stream = sandboxd.raw(&head, &body);
        eventually("it is being unpacked", staged);
        drop(stream);
        sandboxd.wait_until_clean();
        assert_eq!(names(&sandboxd.inside("")), [""; 0]);
        eventually("its thread has ended", || {
            !threads(&sandboxd).contains(&"hydrate\n".to_owned())
        });
    }
    assert_eq!(sandboxd.activity().await.requests, 0);
}

fn threads(sandboxd: &Sandboxd) -> Vec<String> {
    let tasks = fs::read_dir(sandboxd.proc("task")).unwrap();
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.unwrap().path().join("comm"));
    tasks.filter_map(|task| name(task).ok()).collect()
}

/// A body of no announced length.
fn chunked(body: Vec<u8>) -> reqwest::Body {
    let blocks = [Ok::<_, std::io::Error>(bytes::Bytes::from(body))];
    reqwest::Body::wrap_stream(futures_util::stream::iter(blocks))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_mark_tells_a_whole_body_from_one_that_broke_off() {
    let sandboxd = Sandboxd::start();
    let mark = "0123456789abcdef0123456789abcdef0123";
    for packed in [archive(), gzip(&archive()), zstd(&archive())] {
        let broken = sandboxd.send(packed.clone(), &[(END_MARK_HEADER, mark)]).await;
        let (status, _, text) = error_of(broken).await;
        assert_eq!((status, text.contains("broke off")), (400, true), "{text}");
        assert_eq!(names(&sandboxd.inside("")), [""; 0]);
        sandboxd.assert_clean();
        let whole = [&packed, mark.as_bytes()].concat();
        let limit = packed.len().to_string();
        let headers = [(END_MARK_HEADER, mark), (MAX_UPLOAD_HEADER, limit.as_str())];
        assert_eq!(sandboxd.send(chunked(whole), &headers).await.status(), 200);
        fs::remove_dir_all(sandboxd.inside("d")).unwrap();
        fs::remove_file(sandboxd.inside("f")).unwrap();
        fs::remove_file(sandboxd.inside("noise")).unwrap();
    }
    let (status, _, text) = error_of(sandboxd.send(mark, &[(END_MARK_HEADER, mark)]).await).await;
    assert_eq!((status, text.as_str()), (400, "Empty tar payload"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_what_is_sent() {
    let sandboxd = Sandboxd::start();
    let archive = Archive::default().file("zeros", &vec![0; 1 << 20]).end();
    let limit = [(MAX_UPLOAD_HEADER, "100000")];
    for body in [reqwest::Body::from(archive.clone()), chunked(archive.clone())] {
        let (status, code, _) = error_of(sandboxd.send(body, &limit).await).await;
        assert_eq!((status, code), (413, ErrorCode::PayloadTooLarge));
        sandboxd.assert_clean();
        assert_eq!(names(&sandboxd.inside("")), [""; 0]);
    }
    assert_eq!(sandboxd.send(chunked(gzip(&archive)), &limit).await.status(), 200);
    assert_eq!(names(&sandboxd.inside("")), ["zeros"]);
}

/// The error comes while the client still sends.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_does_not_wait_for_the_body() {
    let sandboxd = Sandboxd::start();
    let start = Archive::default().file("../f", b"x").unfinished();
    let mut stream = sandboxd.raw("POST /hydrate HTTP/1.1\r\nContent-Length: 1000000000", &start);
    stream.write_all(&[0; 4096]).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 400");
}
