//! Archives of what may not be read.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sandbox_protocol::ErrorCode;
use tempfile::TempDir;

use crate::support::{Sandboxd, error_of, is_root, program};

/// `sandboxd` as a user that may not read everything: as root it may.
pub fn start_unprivileged(parent: TempDir) -> Sandboxd {
    Sandboxd::start_in(parent, |workspace| {
        if !is_root() {
            return Command::new(program());
        }
        let owned = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(workspace.parent().unwrap())
            .status();
        assert!(owned.unwrap().success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program());
        command
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_an_error_that_names_it() {
    let parent = Sandboxd::directories();
    let secret = parent.path().join("workspace/secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
    let sandboxd = start_unprivileged(parent);
    let (status, code, text) = error_of(sandboxd.get("/persist").await).await;
    assert_eq!((status, code), (502, ErrorCode::WorkspaceArchiveReadError));
    assert!(text.contains("./secret: "), "{text}");

    // Excluded, it does not matter. After much other data, the body breaks off.
    assert!(sandboxd.persist("excludes=secret").await.len() > 1024);
    File::create(sandboxd.inside("0"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    fs::create_dir(sandboxd.inside("z")).unwrap();
    fs::rename(sandboxd.inside("secret"), sandboxd.inside("z/secret")).unwrap();
    let response = sandboxd.get("/persist").await;
    if response.status() == 200 {
        response.bytes().await.unwrap_err();
    }
}

/// The walk has closed it meanwhile, as it is far below.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_may_not_be_read_any_more_breaks_the_body_off() {
    let parent = Sandboxd::directories();
    let deepest = parent.path().join("workspace").join("d/".repeat(100));
    fs::create_dir_all(&deepest).unwrap();
    let large = File::create(deepest.join("large")).unwrap();
    large.set_len(64 << 20).unwrap();
    let sandboxd = start_unprivileged(parent);
    let mut response = sandboxd.get("/persist").await;
    let mut received = 0;
    // By then the walk is in the large file.
    while received < 1 << 20 {
        received += response.chunk().await.unwrap().unwrap().len();
    }
    let above = sandboxd.inside(&"d/".repeat(20));
    fs::set_permissions(&above, PermissionsExt::from_mode(0o000)).unwrap();
    let rest = response.bytes().await;
    fs::set_permissions(&above, PermissionsExt::from_mode(0o755)).unwrap();
    rest.unwrap_err();
}
