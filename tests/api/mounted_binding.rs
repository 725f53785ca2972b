//! R2 bindings as directories.

use reqwest::Method;
use serde_json::json;

use crate::binding::{BINDING, answer, mounted, s3, setting, token};
use crate::bucket::assert_ok;
use crate::eventually;

#[tokio::test]
async fn commands_work_in_a_binding() {
    let Some(setting) = setting().await else { return };
    let options = json!({ "prefix": "work" });
    mounted(&setting, "/mnt/data", options.clone()).await;
    let script = "cd /mnt/data && echo one >a && echo two >>a && cat a && mkdir d && mv a d/b && chmod 640 d/b && \
        touch -d 2020-01-02T03:04:05Z d/b && ls -l --time-style=+%Y d | tail -n 1 | cut -d ' ' -f 1,6 && cp d/b 'd/c & é' && \
        ls d && mv d e && ls && rm e/b && ls e && cat 'e/c & é' && : >empty && stat -c %s empty";
    let expected = "one\ntwo\n-rw-r----- 2020\nb\nc & é\ne\nc & é\none\ntwo\n0";
    let script = script.replace("cp d/b", "cp -p d/b");
    assert_eq!(setting.sh(&script).await, expected);
    assert_ok(setting.unmount("/mnt/data").await).await;
    setting.assert_nothing_is_left("/mnt/data").await;

    // Nothing read now comes from a cache of s3fs or of the kernel, which caches a mode for a
    // second.
    mounted(&setting, "/mnt/data", options).await;
    assert_eq!(
        setting
            .sh("cd /mnt/data; cat e/*; ls; stat -c '%a %s' e/c*; date -ur e/c* +%F")
            .await,
        "one\ntwo\ne\nempty\n640 8\n2020-01-02"
    );
    assert_eq!(setting.sh("rm -r /mnt/data/* && ls -A /mnt/data").await, "");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn a_large_file_in_a_mounted_binding_keeps_its_bytes() {
    let Some(setting) = setting().await else { return };
    let options = json!({ "prefix": "large" });
    mounted(&setting, "/mnt/data", options.clone()).await;
    let write = "head -c 33000001 /dev/urandom >/tmp/large; cp /tmp/large /mnt/data/large && echo written";
    assert_eq!(setting.sh(write).await, "written");
    // A change in the middle of it, a copy and a new name.
    let change = "for f in /tmp/large /mnt/data/large; do printf changed | dd of=$f bs=1 seek=12345678 conv=notrunc 2>/dev/null; \
        echo more >>$f; done; mv /mnt/data/large /mnt/data/moved; md5sum </tmp/large >/tmp/sum; echo done";
    assert_eq!(setting.sh(change).await, "done");
    assert_ok(setting.unmount("/mnt/data").await).await;
    mounted(&setting, "/mnt/data", options).await;
    assert_eq!(
        setting
            .sh("md5sum </mnt/data/moved | cmp - /tmp/sum && ls -s /mnt/data | wc -l")
            .await,
        "2"
    );
    let part =
        "dd if=/mnt/data/moved bs=1 skip=12345678 count=7 2>/dev/null; rm /mnt/data/moved; ls /mnt/data";
    assert_eq!(setting.sh(part).await, "changed");
    setting.sandbox.destroy().await;
}

#[tokio::test]
async fn more_files_than_a_page_has_are_listed_in_a_mounted_binding() {
    let Some(setting) = setting().await else { return };
    let sandbox = &setting.sandbox;
    if !sandbox.client.bridge.is_local {
        eprintln!("skipped: the token cannot be had from a container");
        return;
    }
    let token = token(
        sandbox,
        mounted(&setting, "/mnt/data", json!({ "prefix": "many" })),
    )
    .await;
    let names: Vec<String> = (0..1100).map(|i| format!("d/f{i:04}")).collect();
    for some in names.chunks(50) {
        let puts = some.iter().map(|name| {
            let put = s3(sandbox, &token, Method::PUT, &format!("/{name}")).body(name.clone());
            async { assert_eq!(answer(put).await.0, 200) }
        });
        futures_util::future::join_all(puts).await;
    }
    let listed = setting
        .sh("ls /mnt/data/d | wc -l; ls /mnt/data/d | tail -n 1; ls /mnt/data; cat /mnt/data/d/f0999")
        .await;
    assert_eq!(listed, "1100\nf1099\nd\nd/f0999");
    for (query, found) in [
        ("list-type=2&max-keys=400&prefix=d/", 400),
        ("list-type=2&prefix=d/&start-after=d/f0999", 100),
        ("prefix=d/&marker=d/f1089&max-keys=5", 5),
        ("delimiter=/&prefix=d", 0),
        ("prefix=many", 0),
    ] {
        let (status, text) = answer(s3(sandbox, &token, Method::GET, &format!("?{query}"))).await;
        assert_eq!(
            (status, text.matches("<Contents>").count()),
            (200, found),
            "{query}: {text}"
        );
        assert!(!text.contains("many/"), "{query}: {text}");
    }
    // Directories are cut, and the next page begins behind them.
    let (_, first) = answer(s3(sandbox, &token, Method::GET, "?delimiter=/&max-keys=1")).await;
    assert!(first.contains("<CommonPrefixes><Prefix>d/</Prefix>"), "{first}");
    let (_, next) = answer(s3(
        sandbox,
        &token,
        Method::GET,
        "?delimiter=/&max-keys=1&marker=d/",
    ))
    .await;
    assert!(!next.contains("<Prefix>d/</Prefix>"), "{next}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_mounted_binding_outlives_its_object() {
    let (bridge, worker) = sandbar_tests::Bridge::start_with_buckets(&[BINDING], &[]);
    let sandbox = sandbar_tests::Client::new(&bridge).create().await;
    let Some(setting) = crate::bucket::Setting::new_in(sandbox).await else {
        return;
    };
    mounted(&setting, "/mnt/data", json!({})).await;
    setting.sh("echo before >/mnt/data/f").await;
    let boot = setting.sandbox.boot_id().await;
    let code = std::fs::read_to_string(&worker).unwrap();
    std::fs::write(&worker, format!("{code}\n// Restarted.\n")).unwrap();
    // The old one still answers for a short time.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    eventually("the Worker answers again", || async {
        let response = setting.sandbox.request(Method::GET, "/running").send().await;
        response.is_ok_and(|response| response.status() == 200)
    })
    .await;
    assert_eq!(
        setting
            .sh("cat /mnt/data/f; echo after >/mnt/data/g; cat /mnt/data/g")
            .await,
        "before\nafter"
    );
    assert_eq!(setting.sandbox.boot_id().await, boot);
    assert_ok(setting.unmount("/mnt/data").await).await;
    setting.sandbox.destroy().await;
}
