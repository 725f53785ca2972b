//! Many at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::archive::Archive;
use crate::support::{Sandboxd, gnu_tar, names};

fn version(letter: u8) -> Vec<u8> {
    let mut archive = Archive::default();
    for i in 0..100 {
        archive = archive.file(&format!("dir-{}/file-{i}", i % 7), &vec![letter; 3000]);
    }
    archive.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_in_and_out_at_once_do_not_mix() {
    let sandboxd = Sandboxd::start();
    sandboxd.hydrate(version(b'a')).await;
    for _ in 0..10 {
        let hydrates = [b'b', b'c', b'd', b'e'].map(|letter| {
            let sandboxd = &sandboxd;
            async move {
                let response = sandboxd.send(version(letter), &[]).await;
                assert_eq!(response.status(), 200);
            }
        });
        let persists = [(); 3].map(|()| async {
            let archive = sandboxd.persist("").await;
            let listed = gnu_tar(Path::new("/"), &["-tf", "-"], &archive);
            // A file that is renamed over while its directory is read may be met under its name
            // once more.
            let listed = String::from_utf8(listed).unwrap();
            let files: BTreeSet<_> = listed.lines().filter(|name| name.contains("file-")).collect();
            assert_eq!(files.len(), 100);
        });
        futures_util::future::join(
            futures_util::future::join_all(hydrates),
            futures_util::future::join_all(persists),
        )
        .await;
        let mut letters = BTreeSet::new();
        for i in 0..100 {
            let text = fs::read(sandboxd.inside(&format!("dir-{}/file-{i}", i % 7))).unwrap();
            assert_eq!(text.len(), 3000);
            letters.extend(text);
        }
        assert_eq!(letters.len(), 1, "the last one is whole");
    }
    assert_eq!(names(&sandboxd.inside("")).len(), 7);
    sandboxd.assert_clean();
}
