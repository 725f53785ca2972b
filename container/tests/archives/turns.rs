//! One save or restore at a time, and the ends of saves.

use std::fs;
use std::process::Command;
use std::time::Duration;

use reqwest::Body;
use sandbox_protocol::ErrorCode;
use sandbox_protocol::sandboxd;
use sandbox_protocol::snapshot::{PART_BYTES, part_url, save_url};

use super::save::noise;
use super::saved::{directory, request, restore_url};
use super::support::{Sandboxd, error_of, is_root, program};
use super::unreadable::start_unprivileged;

/// One whose saves end after this time without a request.
fn start(idle_ms: u64) -> Sandboxd {
    Sandboxd::start_in(Sandboxd::directories(), |_| {
        let mut command = Command::new(program());
        command.env("SANDBOX_SAVE_IDLE_MS", idle_ms.to_string());
        command
    })
}

#[tokio::test]
async fn a_save_ends_when_nothing_is_asked_of_it() {
    let sandboxd = start(1000);
    fs::write(sandboxd.inside("data"), noise(5 * PART_BYTES as usize, 1)).unwrap();
    let save = sandboxd.begin(&request()).await.unwrap();
    sandboxd.part(&save, 1).await;
    // The next one waits for its turn until then.
    let next = sandboxd.begin(&request()).await.unwrap();
    let (status, code, text) = error_of(sandboxd.get(&part_url(&save, 2)).await).await;
    assert_eq!((status, code), (502, ErrorCode::SnapshotError), "{text}");
    sandboxd.fetch(&next).await;
}

#[tokio::test]
async fn a_save_ends_when_another_or_a_restore_begins() {
    let sandboxd = start(20_000);
    fs::write(sandboxd.inside("f"), "old").unwrap();
    let saved = sandboxd.save(&request()).await;
    let first = sandboxd.begin(&request()).await.unwrap();
    sandboxd.part(&first, 1).await;
    let second = sandboxd.begin(&request()).await.unwrap();
    let (status, code, text) = error_of(sandboxd.get(&part_url(&first, 1)).await).await;
    assert_eq!((status, code), (502, ErrorCode::SnapshotError), "{text}");
    sandboxd.part(&second, 1).await;
    fs::write(sandboxd.inside("f"), "new").unwrap();
    sandboxd.restore("/workspace", &saved).await;
    assert_eq!(fs::read_to_string(sandboxd.inside("f")).unwrap(), "old");
    assert_eq!(sandboxd.get(&part_url(&second, 1)).await.status(), 502);
}

#[tokio::test]
async fn one_that_waits_for_too_long_is_refused() {
    let sandboxd = start(3000);
    fs::write(sandboxd.inside("f"), "old").unwrap();
    let saved = sandboxd.save(&request()).await;
    let url = restore_url(directory("/workspace"), &saved.contents, false);
    let head = format!("POST {url} HTTP/1.1\r\nContent-Length: {}", saved.archive.len());
    let restore = sandboxd.raw(&head, &saved.archive[..10]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let body = serde_json::to_vec(&request()).unwrap();
    let refused = sandboxd.post(sandboxd::SAVE, body).await;
    assert!(refused.headers().contains_key("retry-after"));
    let (status, code, _) = error_of(refused).await;
    assert_eq!((status, code), (503, ErrorCode::LimitExceeded));
    drop(restore);
}

#[tokio::test]
async fn buffers_that_are_full_refuse_a_save() {
    let sandboxd = Sandboxd::start_in(Sandboxd::directories(), |_| {
        let mut command = Command::new(program());
        command.env("SANDBOX_MAX_BUFFER_BYTES", (16 << 20).to_string());
        command
    });
    fs::write(sandboxd.inside("small"), noise(1 << 20, 1)).unwrap();
    sandboxd.save(&request()).await;
    fs::write(sandboxd.inside("large"), noise(20 << 20, 1)).unwrap();
    let body = serde_json::to_vec(&request()).unwrap();
    let (status, code, text) = error_of(sandboxd.post(sandboxd::SAVE, body).await).await;
    assert_eq!((status, code), (503, ErrorCode::LimitExceeded), "{text}");
    assert!(text.contains("SANDBOX_MAX_BUFFER_BYTES"), "{text}");
    fs::remove_file(sandboxd.inside("large")).unwrap();
    sandboxd.save(&request()).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_ends_the_save() {
    let parent = Sandboxd::directories();
    fs::create_dir(parent.path().join("workspace/d")).unwrap();
    let secret = parent.path().join("workspace/d/secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let sandboxd = start_unprivileged(parent);
    let save = sandboxd.begin(&request()).await.unwrap();
    for url in [part_url(&save, 1), save_url(&save, "/contents")] {
        let (status, code, text) = error_of(sandboxd.get(&url).await).await;
        assert_eq!((status, code), (502, ErrorCode::SnapshotError));
        assert!(text.contains("d/secret: "), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_restore_changes_nothing() {
    let sandboxd = Sandboxd::start();
    fs::write(sandboxd.inside("f"), noise(1 << 20, 1)).unwrap();
    let saved = sandboxd.save(&request()).await;
    fs::write(sandboxd.inside("f"), "new").unwrap();
    let half = saved.archive[..saved.archive.len() / 2].to_vec();
    let url = restore_url(directory("/workspace"), &saved.contents, false);
    let head = format!("POST {url} HTTP/1.1\r\nContent-Length: {}", saved.archive.len());
    drop(sandboxd.raw(&head, &half));
    sandboxd.wait_until_clean();
    assert_eq!(fs::read_to_string(sandboxd.inside("f")).unwrap(), "new");
    // Its turn is over.
    sandboxd.restore("/workspace", &saved).await;
    sandboxd.wait_until_clean();
    // Without a mark at its end, a chunked body is not whole.
    let request = sandboxd
        .client
        .post(sandboxd.url(&url))
        .header("sandbox-upload-end-mark", "the end");
    let (status, code, _) = error_of(request.body(Body::from(saved.archive)).send().await.unwrap()).await;
    assert_eq!((status, code), (409, ErrorCode::RestoreIncomplete));
}

/// As in a container: `sandboxd` is root and may not trace the processes of the commands' user.
#[tokio::test]
async fn files_belong_to_the_user_of_the_commands() {
    use std::os::unix::fs::MetadataExt as _;

    if !is_root() {
        return;
    }
    let sandboxd = Sandboxd::start_in(Sandboxd::directories(), |workspace| {
        for directory in [workspace, workspace.parent().unwrap()] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(directory, open).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]);
        command.arg(program()).env("SANDBOX_USER", "nobody");
        command
    });
    fs::write(sandboxd.inside("a"), noise(4 * PART_BYTES as usize, 17)).unwrap();
    let script = "exec 3>open; printf 'of the stop' >&3; touch -d @1 open; touch ready; sleep 600";
    let body = serde_json::json!({"argv": ["sh", "-c", script]});
    assert_eq!(sandboxd.post("/process", body.to_string()).await.status(), 200);
    super::support::eventually("it is open", || sandboxd.inside("ready").exists());
    let save = sandboxd.begin(&request()).await.unwrap();
    // Its time is old, so it was copied because it is open.
    fs::write(sandboxd.inside("open"), "later").unwrap();
    let saved = sandboxd.fetch(&save).await;
    assert_eq!(saved.contents.changed_paths, [""; 0]);
    sandboxd.restore("/workspace", &saved).await;
    assert_eq!(
        fs::read_to_string(sandboxd.inside("open")).unwrap(),
        "of the stop"
    );
    for name in ["a", "open"] {
        assert_eq!(
            fs::metadata(sandboxd.inside(name)).unwrap().uid(),
            65534,
            "{name}"
        );
    }
}
