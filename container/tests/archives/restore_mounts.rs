//! Restores of directories that are or have file systems of their own. Only root can mount; elsewhere
//! these say nothing.

use std::process::Command;

use sandbox_protocol::ErrorCode;

use super::mounts::{run, start};
use super::save::noise;
use super::saved::{Saved, request, restore_url};
use super::support::{Sandboxd, error_of, program};

/// The archive of a workspace with a large file.
async fn large() -> Saved {
    let other = Sandboxd::start();
    std::fs::write(other.inside("large"), noise(20 << 20, 3)).unwrap();
    other.save(&request()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_changes_nothing() {
    let Some(sandboxd) = start("mount -t tmpfs -o size=8m none $1; mkdir $1/d; echo old >$1/d/f") else {
        return;
    };
    let large = large().await;
    let old = sandboxd.save(&request()).await;
    let refused = sandboxd
        .send_restore("/workspace", large.archive.clone(), &large.contents)
        .await;
    let (status, code, text) = error_of(refused).await;
    assert_eq!((status, code), (507, ErrorCode::NoSpace), "{text}");
    assert_eq!(
        run(&sandboxd, "cd $1; find . | sort; cat d/f"),
        ".\n./d\n./d/f\nold\n"
    );
    // A full disk prevents neither a save nor a restore of what fits.
    run(&sandboxd, "head -c 100M /dev/zero >$1/zeros || true");
    let full = sandboxd.save(&request()).await;
    assert!(
        full.index()
            .iter()
            .any(|entry| entry.0 == "zeros" && entry.3 > 7 << 20)
    );
    run(&sandboxd, "rm $1/zeros");
    let version = sandboxd.restore("/workspace", &old).await;
    assert_eq!(
        run(&sandboxd, "cd $1; find . | sort; cat d/f"),
        ".\n./d\n./d/f\nold\n"
    );
    let unless = sandbox_protocol::snapshot::SaveRequest {
        unless: Some(version),
        ..request()
    };
    assert_eq!(sandboxd.begin(&unless).await, None);
}

/// Puts the workspace on top of a read-only layer, as a container has it on top of its image.
const OVERLAY: &str = "mkdir -p $1/.l $1/.u && mount -t tmpfs none $1/.u && mkdir -p $1/.l/d/e $1/.u/u $1/.u/w \
    && echo old >$1/.l/d/e/f && echo old >$1/.l/d/g && chmod 0751 $1/.l/d && echo old >$1/.l/top \
    && mount -t overlay none -o lowerdir=$1/.l,upperdir=$1/.u/u,workdir=$1/.u/w $1";

const LIST: &str = "cd $1; find . -printf '%P %m\n' | sort; cat d/e/f d/g top 2>&1";

#[tokio::test(flavor = "multi_thread")]
async fn directories_of_the_image_are_replaced() {
    let large = large().await;
    for discard in [false, true] {
        let Some(sandboxd) = start(OVERLAY) else {
            return;
        };
        let before = run(&sandboxd, LIST);
        assert!(
            before.contains("d/e/f 644") && before.contains("d 751"),
            "{before}"
        );
        let old = sandboxd.save(&request()).await;
        // Nothing is lost when one of the entries cannot be moved.
        run(&sandboxd, "mkdir -p $1/d/z && mount -t tmpfs none $1/d/z");
        let (archive, contents) = (large.archive.clone(), &large.contents);
        let refused = sandboxd
            .send_restore("/workspace", archive.clone(), contents)
            .await;
        let (status, code, text) = error_of(refused).await;
        assert_eq!((status, code), (409, ErrorCode::RestoreConflict), "{text}");
        run(&sandboxd, "umount $1/d/z && rmdir $1/d/z");
        assert_eq!(run(&sandboxd, LIST), before);

        let restored = sandboxd
            .send_restore_with("/workspace", archive, contents, discard)
            .await;
        assert_eq!(restored.status(), 200, "{}", restored.text().await.unwrap());
        assert_eq!(run(&sandboxd, "cd $1; ls -A"), "large\n");
        sandboxd.restore("/workspace", &old).await;
        assert_eq!(run(&sandboxd, LIST), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_the_directory_is_a_conflict_and_all_stays_where_it_was() {
    let Some(sandboxd) = start(
        "mkdir -p $1/a $1/z $1/m/t; echo old >$1/a/f; echo old >$1/z/f; mount -t tmpfs none $1/m; echo t >$1/m/t",
    ) else {
        return;
    };
    let before = run(&sandboxd, "cd $1; find . | sort; cat */f m/t");
    let saved = large().await;
    let refused = sandboxd
        .send_restore("/workspace", saved.archive.clone(), &saved.contents)
        .await;
    let (status, code, text) = error_of(refused).await;
    assert_eq!((status, code), (409, ErrorCode::RestoreConflict), "{text}");
    assert!(text.contains('m'), "{text}");
    assert_eq!(run(&sandboxd, "cd $1; find . | sort; cat */f m/t"), before);
    let refused = sandboxd
        .send_restore("/workspace/a/f", saved.archive.clone(), &saved.contents)
        .await;
    let (status, code, text) = error_of(refused).await;
    assert_eq!((status, code), (409, ErrorCode::RestoreConflict), "{text}");
    // Beside it, all is well.
    sandboxd.restore("/workspace/a", &saved).await;
    assert_eq!(run(&sandboxd, "cd $1; ls a"), "large\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_root_is_restored_too() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_str().unwrap().to_owned();
    let roots = format!("/workspace:{path}");
    let sandboxd = Sandboxd::start_in(Sandboxd::directories(), |_| {
        let mut command = Command::new(program());
        command.env("SANDBOX_FILE_ROOTS", &roots);
        command
    });
    std::fs::write(sandboxd.inside("f"), "text").unwrap();
    let saved = sandboxd.save(&request()).await;
    std::fs::write(root.path().join("old"), "").unwrap();
    for dir in [path.clone(), format!("{path}/a/b")] {
        let dir = sandbox_protocol::FilePath::parse(
            "path",
            &dir,
            &sandbox_protocol::FileRoots::parse(&roots).unwrap(),
        )
        .unwrap();
        let url = restore_url(dir.clone(), &saved.contents, false);
        let response = sandboxd.post(&url, saved.archive.clone()).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        let restored = std::fs::read_to_string(format!("{dir}/f")).unwrap();
        assert_eq!(restored, "text");
    }
    assert!(!root.path().join("old").exists());
    super::support::eventually("nothing is left", || {
        super::support::names(root.path()) == ["a", "f"]
    });
}
