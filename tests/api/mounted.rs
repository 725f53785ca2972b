//! Buckets as directories, in use.

use sandbar_test_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client};
use serde_json::json;

use crate::bucket::{BUCKET, Setting, assert_ok};

#[tokio::test]
async fn commands_work_in_a_bucket() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    setting.server.put(BUCKET, "of/another.txt", "from elsewhere");
    setting.mounted("/mnt/data", json!({})).await;
    let script = "cd /mnt/data; cat of/another.txt; echo; echo one >a; mkdir d; echo two >d/b; mv a c; cp c d/e; rm c; \
        cat d/b d/e; ls . d; stat -c %U . >/tmp/owner; id -un | cmp - /tmp/owner && echo mine";
    assert_eq!(
        setting.sh(script).await,
        "from elsewhere\ntwo\none\n.:\nd\nof\n\nd:\nb\ne\nmine"
    );
    assert_eq!(setting.server.get(BUCKET, "d/b").unwrap(), "two\n");
    assert_eq!(setting.server.get(BUCKET, "d/e").unwrap(), "one\n");
    assert_eq!(setting.server.get(BUCKET, "c"), None);
    // A file of a bucket cannot make anybody root.
    let flags = setting.sh("grep /mnt/data /proc/mounts").await;
    assert!(flags.contains("nosuid") && flags.contains("nodev"), "{flags}");
    let large = "head -c 30000000 /dev/urandom >/tmp/large; cp /tmp/large /mnt/data/large; cmp /tmp/large /mnt/data/large && echo same";
    assert_eq!(setting.sh(large).await, "same");
    assert_eq!(setting.server.get(BUCKET, "large").unwrap().len(), 30_000_000);

    assert_ok(setting.unmount("/mnt/data").await).await;
    setting.assert_nothing_is_left("/mnt/data").await;
    assert_eq!(
        setting.server.get(BUCKET, "d/b").unwrap(),
        "two\n",
        "the bucket keeps it"
    );
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn files_are_read_and_written_through_a_mount_in_the_workspace() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let sandbox = &setting.sandbox;
    setting.server.put(BUCKET, "there.txt", "0123456789");
    setting.mounted("/workspace/data", json!({})).await;
    assert_eq!(
        sandbox
            .get("workspace/data/there.txt")
            .await
            .text()
            .await
            .unwrap(),
        "0123456789"
    );
    let part = sandbox
        .request(reqwest::Method::GET, "/file/workspace/data/there.txt")
        .header("range", "bytes=2-4");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), part.text().await.unwrap().as_str()),
        (206, "234")
    );
    assert_eq!(sandbox.get("workspace/data/missing").await.status(), 404);

    let bytes: Vec<u8> = (0..12_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    for path in ["new.bin", "deep/er/new.bin", "there.txt"] {
        assert_ok(
            sandbox
                .put(&format!("workspace/data/{path}"), bytes.clone())
                .await,
        )
        .await;
        assert!(
            setting.server.get(BUCKET, path).unwrap() == bytes,
            "{path} is in the bucket"
        );
        let read = sandbox
            .get(&format!("workspace/data/{path}"))
            .await
            .bytes()
            .await
            .unwrap();
        assert!(read == bytes, "{path} reads back");
    }
    let keys = setting.server.keys(BUCKET);
    assert!(!keys.iter().any(|key| key.contains("upload")), "{keys:?}");
    assert_eq!(
        setting
            .sh("echo more >>data/new.bin && stat -c '%s %a' data/new.bin")
            .await,
        "12000005 644"
    );
    assert_ok(setting.unmount("/workspace/data").await).await;
    assert_eq!(sandbox.get("workspace/data/there.txt").await.status(), 404);
    setting.assert_nothing_is_left("/workspace/data").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_prefix_shows_a_part_and_read_only_is_that() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    setting.server.put(BUCKET, "users/7/a.txt", "seven");
    setting.server.put(BUCKET, "users/8/b.txt", "eight");
    setting
        .mounted("/mnt/a", json!({ "prefix": "/users/7/", "provider": "minio" }))
        .await;
    let more = json!({ "prefix": "users", "readOnly": true, "s3fsOptions": ["rw", "stat_cache_expire=1"] });
    setting.mounted("/mnt/b", more).await;
    setting
        .mounted("/mnt/new", json!({ "prefix": "of/nobody" }))
        .await;
    assert_eq!(
        setting
            .sh("ls /mnt/a; echo x >/mnt/a/x; cat /mnt/a/a.txt; ls /mnt/new; echo y >/mnt/new/y")
            .await,
        "a.txt\nseven"
    );
    assert_eq!(setting.server.get(BUCKET, "users/7/x").unwrap(), "x\n");
    assert_eq!(setting.server.get(BUCKET, "of/nobody/y").unwrap(), "y\n");
    let read_only = setting
        .sh("cat /mnt/b/8/b.txt; echo; touch /mnt/b/x; rm /mnt/b/8/b.txt; ls /mnt/b")
        .await;
    assert!(
        read_only.starts_with("eight\n") && read_only.ends_with("7\n8"),
        "{read_only}"
    );
    assert_eq!(
        read_only.matches("Read-only file system").count(),
        2,
        "{read_only}"
    );
    for path in ["/mnt/a", "/mnt/b", "/mnt/new"] {
        assert_ok(setting.unmount(path).await).await;
    }
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn the_deployments_own_keys_open_a_bucket_and_no_command_sees_them() {
    let vars = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ];
    let bridge = Bridge::start(&vars);
    let Some(setting) = Setting::new_in(Client::new(&bridge).create().await).await else {
        return;
    };
    setting.server.put(BUCKET, "f", "content");
    let body =
        json!({ "bucket": BUCKET, "mountPath": "/mnt/data", "options": { "endpoint": setting.endpoint } });
    assert_ok(setting.sandbox.post("/mount", &body).await).await;
    assert_eq!(setting.sh("cat /mnt/data/f").await, "content");
    // Everything that a command can read of processes and of temporary files.
    let (id, secret) = (&ACCESS_KEY_ID[2..], &SECRET_ACCESS_KEY[2..]);
    let script = format!(
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -v grep >/workspace/seen; \
         grep -r -a . /run /tmp /var/tmp /home 2>/dev/null >>/workspace/seen; \
         grep -c -e '{id}' -e '{secret}' /workspace/seen; grep -a -c s3fs /workspace/seen"
    );
    let seen = setting.sh(&script).await;
    let counts: Vec<u32> = seen.lines().map(|count| count.parse().unwrap()).collect();
    // The command line of this very script has both.
    assert!(counts[0] <= 1 && counts[1] > 0, "{seen}");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_bucket_that_cannot_be_mounted_says_why_and_leaves_nothing() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    let wrong =
        json!({ "credentials": { "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": "a-wrong-secret" } });
    let nobody = json!({ "endpoint": "http://127.0.0.1:9", "s3fsOptions": ["retries=1"] });
    for (bucket, more, word) in [
        ("no-such-bucket", json!({}), "bucket or key not found"),
        (BUCKET, wrong, "invalid credentials"),
        (BUCKET, nobody, "unable to connect"),
        (BUCKET, json!({ "s3fsOptions": ["retries=x"] }), "s3fs: "),
    ] {
        let body =
            json!({ "bucket": bucket, "mountPath": "/mnt/new/data", "options": setting.options(more) });
        let text = assert_error(setting.sandbox.post("/mount", &body).await, 502, "mount_error").await;
        assert!(
            text.starts_with("mount failed: s3fs: ") && text.contains(word),
            "{text}"
        );
        assert!(
            !text.contains("a-wrong-secret") && !text.contains(SECRET_ACCESS_KEY),
            "{text}"
        );
        setting.assert_nothing_is_left("/mnt/new").await;
    }
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_path_that_is_taken_or_unsuitable_is_refused() {
    let Some(setting) = Setting::new().await else {
        return;
    };
    setting
        .sh("mkdir full; touch full/file; ln -s /mnt link; mkdir empty")
        .await;
    setting.mounted("/mnt/data", json!({})).await;
    for (path, word) in [
        ("/mnt/data", "mounted at /mnt/data already"),
        ("/mnt/data/deeper", "inside the mount at /mnt/data"),
        ("/mnt", "inside it, at /mnt/data"),
        ("/workspace/full", "/workspace/full is not empty"),
    ] {
        let text = assert_error(setting.mount(path, json!({})).await, 502, "mount_error").await;
        assert!(text.contains(word), "{text}");
    }
    for (path, word) in [
        ("/workspace/link/x", "symbolic link: /workspace/link"),
        ("/workspace/link", "symbolic link: /workspace/link"),
        ("/workspace/full/file/x", "file: /workspace/full/file"),
    ] {
        let text = assert_error(setting.mount(path, json!({})).await, 400, "invalid_request").await;
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(setting.sh("ls /mnt full").await, "/mnt:\ndata\n\nfull:\nfile");
    setting
        .mounted("/workspace/full", json!({ "s3fsOptions": ["nonempty"] }))
        .await;
    setting.mounted("/workspace/empty", json!({})).await;
    assert_eq!(setting.sh("ls full").await, "");
    assert_ok(setting.unmount("/workspace/full").await).await;
    assert_ok(setting.unmount("/workspace/empty").await).await;
    assert_eq!(
        setting.sh("ls -d full/* empty").await,
        "empty\nfull/file",
        "what the mount did not make stays"
    );
    setting.sandbox.destroy().await;
}
