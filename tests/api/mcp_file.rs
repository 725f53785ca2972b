//! The tools for files.

use serde_json::{Value, json};

use crate::mcp::{result, text, tool};
use crate::sandbox;

#[tokio::test]
async fn files_are_read_in_parts_and_images_as_images() {
    let sandbox = sandbox().await;
    let long = "äöü\n".repeat(10_000);
    assert_eq!(
        sandbox.put("workspace/long.txt", long.clone()).await.status(),
        200
    );
    let mut read = String::new();
    let mut offset = json!(0);
    loop {
        let arguments = json!({ "path": "long.txt", "offset": offset, "max_bytes": 10_001 });
        let printed = text(&sandbox, "read", arguments).await;
        let Some((head, rest)) = printed.split_once("\n[") else {
            read.push_str(&printed);
            break;
        };
        let next = rest.split_once("left out: read ").unwrap().1;
        let next: Value = serde_json::from_str(next.split_once(" has them]").unwrap().0).unwrap();
        offset = next["offset"].clone();
        read.push_str(head);
        if (read.len() as u64) < offset.as_u64().unwrap() {
            read.push('\n');
        }
        assert_eq!(read.len() as u64, offset.as_u64().unwrap());
    }
    assert!(read == long, "{} of {} bytes", read.len(), long.len());
    assert_eq!(
        text(&sandbox, "read", json!({ "path": "long.txt", "offset": 70_000 })).await,
        "[empty]"
    );
    text(&sandbox, "write", json!({ "path": "empty", "content": "" })).await;
    assert_eq!(
        text(&sandbox, "read", json!({ "path": "empty" })).await,
        "[empty]"
    );
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 100]].concat();
    sandbox.put("workspace/a.png", png.clone()).await;
    let image = result(&sandbox, "read", json!({ "path": "a.png", "max_bytes": 20 })).await;
    assert_eq!(image["content"][0]["mimeType"], "image/png");
    assert_eq!(
        image["content"][0]["data"].as_str().unwrap().len(),
        png.len().div_ceil(3) * 4
    );
    sandbox.put("workspace/a.bin", vec![0_u8; 10]).await;
    let (told, is_error) = tool(&sandbox, "read", json!({ "path": "a.bin" })).await;
    assert!(is_error && told.contains("not UTF-8 text"), "{told}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn files_are_written_edited_searched_and_listed() {
    let sandbox = sandbox().await;
    let written = json!({ "path": "a b/ü.sh", "content": "one\n", "mode": "0755" });
    assert_eq!(
        text(&sandbox, "write", written).await,
        "wrote 4 bytes to /workspace/a b/ü.sh"
    );
    let more = json!({ "path": "/workspace/a b/ü.sh", "content": "two two\n", "append": true });
    text(&sandbox, "write", more).await;
    let edits = json!([{ "old": "one", "new": "1" }, { "old": "two", "new": "2", "all": true }]);
    let edited = text(&sandbox, "edit", json!({ "path": "a b/ü.sh", "edits": edits })).await;
    assert_eq!(edited, "replaced 3 in /workspace/a b/ü.sh");
    assert_eq!(
        text(&sandbox, "read", json!({ "path": "a b/ü.sh" })).await,
        "1\n2 2\n"
    );
    let found = json!({ "pattern": "^[0-9]$", "regex": true, "context": 1, "glob": ["*.sh"] });
    let found = text(&sandbox, "search", found).await;
    assert_eq!(found, "/workspace/a b/ü.sh:1:1:1\n/workspace/a b/ü.sh-2-2 2");
    assert_eq!(
        text(&sandbox, "search", json!({ "pattern": "three" })).await,
        "[no matches]"
    );
    let page = text(&sandbox, "list", json!({ "depth": 2, "limit": 1 })).await;
    assert_eq!(
        page,
        "a b/\n[there are more entries: list with {\"cursor\":\"a b\"}]"
    );
    let page = text(&sandbox, "list", json!({ "depth": 2, "cursor": "a b" })).await;
    assert_eq!(page, "a b/ü.sh  6 bytes");
    for (name, arguments, word) in [
        (
            "edit",
            json!({ "path": "a b/ü.sh", "edits": [{ "old": "x", "new": "" }] }),
            "edit_mismatch",
        ),
        ("read", json!({ "path": "none" }), "workspace_read_not_found"),
        (
            "read",
            json!({ "path": "/etc/passwd" }),
            "path must resolve to a location within /workspace",
        ),
        (
            "read",
            json!({ "path": "../../exec" }),
            "path must resolve to a location within /workspace",
        ),
        (
            "write",
            json!({ "path": "x", "content": "", "mode": "9" }),
            "mode",
        ),
        (
            "search",
            json!({ "pattern": "(", "regex": true }),
            "invalid_request",
        ),
        ("list", json!({ "path": "none" }), "file_not_found"),
    ] {
        let (told, is_error) = tool(&sandbox, name, arguments).await;
        assert!(is_error && told.contains(word), "{name}: {told}");
    }
    sandbox.destroy().await;
}
