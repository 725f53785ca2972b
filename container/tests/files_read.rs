//! `GET` and `HEAD` of workspace files, as a client sees them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod served;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header;
use sandbox_protocol::ErrorCode;
use served::{Served, error_of, fifo, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_with_its_headers() {
    let served = Served::start().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_001).collect();
    fs::write(served.inside("a.bin"), &bytes).unwrap();
    // A file that was just changed has a tag of its own for each response.
    tokio::time::sleep(Duration::from_millis(20)).await;

    let got = served.get("a.bin").await;
    assert_eq!(got.status(), 200);
    let headers = got.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
    assert_eq!(headers[header::CONTENT_LENGTH], "3000001");
    assert_eq!(headers[header::ACCEPT_RANGES], "bytes");
    assert!(headers[header::ETAG].to_str().unwrap().starts_with('"'));
    assert!(headers.contains_key(header::LAST_MODIFIED));
    assert_eq!(got.bytes().await.unwrap(), bytes);

    let mut head = served.client.head(served.url("a.bin")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    for name in headers.keys().filter(|name| *name != header::DATE) {
        assert_eq!(head.headers()[name], headers[name]);
    }
    assert_eq!(head.chunk().await.unwrap(), None);

    fs::write(served.inside("empty"), "").unwrap();
    assert_eq!(served.bytes("empty").await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges() {
    let served = Served::start().await;
    fs::write(served.inside("digits"), "0123456789").unwrap();
    let url = served.url("digits");
    let range = async |range: &str| {
        let request = served.client.get(&url).header(header::RANGE, range);
        let got = request.send().await.unwrap();
        let content_range = got.headers().get(header::CONTENT_RANGE).cloned();
        let content_range = content_range.map(|value| value.to_str().unwrap().to_owned());
        (got.status().as_u16(), content_range, got.text().await.unwrap())
    };
    for (asked, content_range, bytes) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=3-5", "bytes 3-5/10", "345"),
        ("bytes=8-", "bytes 8-9/10", "89"),
        ("bytes=-2", "bytes 8-9/10", "89"),
        ("bytes=0-99", "bytes 0-9/10", "0123456789"),
    ] {
        assert_eq!(
            range(asked).await,
            (206, Some(content_range.into()), bytes.into()),
            "{asked}"
        );
    }
    let (code, content_range, body) = range("bytes=10-").await;
    assert_eq!((code, content_range.as_deref()), (416, Some("bytes */10")));
    assert!(body.contains("range_not_satisfiable"), "{body}");
    for whole in ["bytes=0-1,3-4", "bytes=x", "lines=1-2"] {
        assert_eq!(range(whole).await, (200, None, "0123456789".into()), "{whole}");
    }
    // A range is for GET alone.
    let head = served.client.head(&url).header(header::RANGE, "bytes=0-1");
    let head = head.send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()[header::CONTENT_LENGTH]),
        (200, &"10".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions() {
    let served = Served::start().await;
    fs::write(served.inside("f"), "0123456789").unwrap();
    // Before, its time of change could be that of another version.
    std::thread::sleep(Duration::from_millis(50));
    let first = served.get("f").await;
    let etag = first.headers()[header::ETAG].clone();
    let modified = first.headers()[header::LAST_MODIFIED].clone();
    let ask = async |name, value: &header::HeaderValue| {
        let request = served.client.get(served.url("f")).header(name, value);
        request.header(header::RANGE, "bytes=0-3").send().await.unwrap()
    };

    let same = ask(header::IF_NONE_MATCH, &etag).await;
    assert_eq!(same.status(), 304);
    assert_eq!(same.headers()[header::ETAG], etag);
    assert_eq!(same.bytes().await.unwrap().len(), 0);
    assert_eq!(ask(header::IF_MODIFIED_SINCE, &modified).await.status(), 304);
    assert_eq!(ask(header::IF_RANGE, &etag).await.status(), 206);

    assert_eq!(served.put("f", "abcdefghij").await.status(), 200);
    assert_eq!(ask(header::IF_NONE_MATCH, &etag).await.status(), 206);
    let whole = ask(header::IF_RANGE, &etag).await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.text().await.unwrap(), "abcdefghij");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_rewritten_with_its_old_time_is_another_version() {
    let served = Served::start().await;
    let write = |text: &str| {
        fs::write(served.inside("f"), text).unwrap();
        let file = File::options().write(true).open(served.inside("f")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
            .unwrap();
    };
    // Both at once after the first read and when that is long ago.
    for wait in [0, 50] {
        write("0123456789");
        std::thread::sleep(Duration::from_millis(wait));
        let first = served.get("f").await;
        write("abcdefghij");
        std::thread::sleep(Duration::from_millis(wait));
        for name in [header::IF_NONE_MATCH, header::IF_RANGE] {
            let request = served
                .client
                .get(served.url("f"))
                .header(header::RANGE, "bytes=0-99");
            let again = request
                .header(&name, &first.headers()[header::ETAG])
                .send()
                .await
                .unwrap();
            assert_ne!(again.headers()[header::ETAG], first.headers()[header::ETAG]);
            let expected = if name == header::IF_RANGE { 200 } else { 206 };
            assert_eq!(again.status(), expected, "{name} after {wait} ms");
            assert_eq!(again.text().await.unwrap(), "abcdefghij");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_regular_file_is_refused_at_once() {
    let served = Served::start().await;
    fs::create_dir(served.inside("directory")).unwrap();
    fs::write(served.inside("file"), "").unwrap();
    // Opened the ordinary way, a FIFO without a writer would block for ever.
    fifo(&served.inside("fifo"));
    let _listener = UnixListener::bind(served.inside("socket")).unwrap();

    for (name, code, error) in [
        ("missing", 404, ErrorCode::WorkspaceReadNotFound),
        ("missing/file", 404, ErrorCode::WorkspaceReadNotFound),
        ("file/below", 404, ErrorCode::WorkspaceReadNotFound),
        ("", 400, ErrorCode::IsDirectory),
        ("directory", 400, ErrorCode::IsDirectory),
        ("fifo", 400, ErrorCode::InvalidRequest),
        ("socket", 400, ErrorCode::InvalidRequest),
        (&"n".repeat(256), 400, ErrorCode::InvalidRequest),
        (&"n/".repeat(2100), 400, ErrorCode::InvalidRequest),
    ] {
        let (status, code_got, _) = error_of(served.get(name).await).await;
        assert_eq!((status.as_u16(), code_got), (code, error), "{name:?}");
    }
    let head = served.client.head(served.url("missing")).send().await.unwrap();
    assert_eq!(head.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_round_trip() {
    let served = Served::start().await;
    for name in [
        "a b",
        "100%",
        "%2F",
        "line\nbreak\ttab",
        "é 日本 🦀",
        "?#[]&+\\\"'<>|^`{}~;=@:,$!*()",
        "-rf",
        "..hidden",
        "日本/語 x/deep",
        &"n".repeat(255),
    ] {
        assert_eq!(served.put(name, name.to_owned()).await.status(), 200, "{name:?}");
        assert_eq!(fs::read_to_string(served.inside(name)).unwrap(), name);
        assert_eq!(served.bytes(name).await, name.as_bytes(), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_none_get_a_clean_answer() {
    let served = Served::start().await;
    fs::create_dir(served.inside("a")).unwrap();
    fs::write(served.inside("a/b"), "").unwrap();
    for (path, wanted) in [
        ("/file/workspace%2Fa%2fb", 200),
        ("/file/workspace/a%2F..%2F..%2Fetc", 403),
        ("/file/workspace/a%00", 400),
        ("/file/workspace/a%zz", 400),
        ("/file/workspace/%FF", 400),
        ("/file/", 400),
        ("/file/workspace", 400),
        ("/file/workspace/", 400),
        ("/file/workspace/../etc/passwd", 403),
        ("/file/workspace/%2e%2e/etc/passwd", 403),
        ("/file/etc/passwd", 403),
        ("/file//workspace//a/./b", 200),
        ("/file/workspace/a/../a/b?query=1", 200),
    ] {
        for method in ["GET", "PUT"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(
                status(&mut served.send(request.as_bytes())),
                wanted,
                "{method} {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_server_may_not_read_is_403() {
    let served = Served::start().await;
    fs::write(served.inside("secret"), "").unwrap();
    fs::set_permissions(served.inside("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    let got = served.get("secret").await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(got.status(), 200);
    } else {
        let (status, code, text) = error_of(got).await;
        assert_eq!((status.as_u16(), code), (403, ErrorCode::InvalidRequest));
        assert!(text.contains("permission denied"), "{text}");
    }
}

const LARGE: usize = 64 * 1024 * 1024;

/// Asks for a large file and reads only the answer's head and a little more, so that the server
/// cannot be done.
fn begin_to_read(served: &Served) -> (std::net::TcpStream, usize) {
    let mut stream =
        served.send(b"GET /file/workspace/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut start = vec![0; 4096];
    stream.read_exact(&mut start).unwrap();
    let head = start.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let text = String::from_utf8_lossy(&start[..head]).to_lowercase();
    assert!(text.contains(&format!("content-length: {LARGE}\r\n")), "{text}");
    (stream, start.len() - head)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shrinks_breaks_the_connection() {
    let served = Served::start().await;
    let file = File::create(served.inside("large")).unwrap();
    file.set_len(LARGE as u64).unwrap();
    let (mut stream, begun) = begin_to_read(&served);
    file.set_len(1).unwrap();
    let mut rest = Vec::new();
    // The end is a close or a reset, and in either case too early.
    let _ = stream.read_to_end(&mut rest);
    assert!(begun + rest.len() < LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_is_cut_at_the_announced_length() {
    let served = Served::start().await;
    let mut file = File::create(served.inside("large")).unwrap();
    file.set_len(LARGE as u64).unwrap();
    let (mut stream, begun) = begin_to_read(&served);
    let mut file_end = File::options().append(true).open(served.inside("large")).unwrap();
    file_end.write_all(b"more").unwrap();
    file.flush().unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(begun + rest.len(), LARGE);
}
