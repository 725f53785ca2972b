//! Long work ends when its client leaves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod served;

use std::fs;
use std::time::Duration;

use served::Served;

/// Files of a tree, so many that a copy or a removal takes longer than [`HEAD_START`].
const FILES: usize = 8_000;

const HEAD_START: Duration = Duration::from_millis(20);

async fn with_a_tree() -> Served {
    let served = Served::start().await;
    for directory in 0..FILES / 100 {
        let directory = served.inside(&format!("t/{directory}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..100 {
            fs::write(directory.join(file.to_string()), "x").unwrap();
        }
    }
    served
}

/// The number of files in the tree.
fn files(served: &Served) -> usize {
    let directories = served.names("t").into_iter();
    directories
        .map(|name| served.names(&format!("t/{name}")).len())
        .sum()
}

/// Sends a request, and leaves after [`HEAD_START`].
async fn send_and_leave(served: &Served, head: &str, body: &str) {
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
    let stream = served.send(request.as_bytes());
    tokio::time::sleep(HEAD_START).await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_leaves_nothing() {
    let served = with_a_tree().await;
    let body = r#"{"from":"t","to":"copied","recursive":true}"#;
    send_and_leave(&served, "POST /copy", body).await;
    served.wait_for_names(|names| names == ["t"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(served.names(""), ["t"]);
    assert_eq!(files(&served), FILES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_stops() {
    let served = with_a_tree().await;
    send_and_leave(&served, "DELETE /file/workspace/t?recursive=true", "").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let left = files(&served);
    assert!(left > 0 && left < FILES, "{left} files are left");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(files(&served), left);
}
