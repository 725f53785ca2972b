//! `excludes` against `tar --exclude ./x`.

use std::fs;
use std::path::Path;

use sandbox_protocol::{ArchiveFormat, PersistOptions};

use crate::support::{Sandboxd, gnu_tar};

fn listed(archive: &[u8]) -> Vec<String> {
    let names = gnu_tar(Path::new("/"), &["-tf", "-"], archive);
    let mut names: Vec<_> = String::from_utf8(names)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn they_leave_out_what_tar_does() {
    let sandboxd = Sandboxd::start();
    for name in [
        "dir/sub/deep",
        "dir/f.log",
        "dirx",
        "f.log",
        "a/b",
        "x[1]/q",
        "x1",
        "st*r",
        "starr",
        ".hid/x",
        "back\\slash",
        "q?",
        "qq",
        "é",
        "[a",
        "node_modules/m/node_modules/n",
        "src/node_modules/o",
    ] {
        let file = sandboxd.inside(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }
    for pattern in [
        "dir",
        "dir/sub",
        "dir/./sub",
        "f.log",
        "*.log",
        "*/f.log",
        "**/f.log",
        "d?r",
        "d??",
        "?",
        "dir*",
        "a/*",
        "*",
        ".*",
        "x[1]",
        "x\\[1\\]",
        "x[[]1]",
        "st\\*r",
        "st*r",
        "back\\slash",
        "back\\\\slash",
        "q\\?",
        "q[?]",
        "[",
        "[a",
        "\\[a",
        "[]a]",
        "[^x]*",
        "[!a-z]*",
        "[[:alpha:]]",
        "[[:lower:][:digit:]]*",
        "[a-",
        "dir\\",
        "node_modules",
        "*node_modules",
        "*/node_modules",
        "é",
        "nothing",
    ] {
        let exclude = format!("./{pattern}");
        let expected = gnu_tar(
            &sandboxd.inside(""),
            &["-cf", "-", "--exclude", &exclude, "."],
            b"",
        );
        let options = PersistOptions {
            path: None,
            excludes: vec![pattern.to_owned()],
            format: ArchiveFormat::Tar,
        };
        let archive = sandboxd.persist(&options.to_query()).await;
        assert_eq!(listed(&archive), listed(&expected), "{pattern}");
    }
    let archive = sandboxd
        .persist("excludes=dir,./a,x*,*node_modules*,.hid,q?")
        .await;
    let left = [
        "./",
        "./[a",
        "./back\\\\slash",
        "./dirx",
        "./f.log",
        "./src/",
        "./st*r",
        "./starr",
        "./é",
    ];
    assert_eq!(listed(&archive), left);

    // As clients write them.
    let archive = sandboxd
        .persist(
            "excludes=node_modules/,%20dir%20,%20/src/*/,+.hid/x,x1/,q?,%20,./*r,[a,back*,/workspace/a/b",
        )
        .await;
    let left = [
        "./", "./.hid/", "./a/", "./dirx", "./f.log", "./src/", "./x1", "./x[1]/", "./x[1]/q", "./é",
    ];
    assert_eq!(listed(&archive), left);
}
