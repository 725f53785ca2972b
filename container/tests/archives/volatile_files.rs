//! Files that change while a directory is saved.

use std::fs;
use std::process::Command;

use reqwest::StatusCode;
use sandbox_protocol::snapshot::PART_BYTES;
use serde_json::{Value, json};

use super::save::noise;
use super::saved::request;
use super::support::{Sandboxd, eventually};

/// Starts a process of Python.
async fn python(sandboxd: &Sandboxd, id: &str, script: &str) {
    let body = json!({"argv": ["python3", "-c", script], "id": id});
    let started = sandboxd.post("/process", body.to_string()).await;
    assert_eq!(
        started.status(),
        StatusCode::OK,
        "{}",
        started.text().await.unwrap()
    );
}

async fn end(sandboxd: &Sandboxd, id: &str) {
    let process: Value = serde_json::from_str(
        &sandboxd
            .get(&format!("/process/{id}"))
            .await
            .text()
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(process["state"], "running", "{process}");
    assert!(sandboxd.delete(&format!("/process/{id}")).await.is_success());
}

const WRITER: &str = "
import sqlite3
db = sqlite3.connect('data.db', isolation_level=None)
db.execute('PRAGMA journal_mode=WAL')
db.execute('CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)')
db.execute('CREATE TABLE total (n INTEGER)')
db.execute('INSERT INTO total VALUES (0)')
n = 0
while True:
    db.execute('BEGIN')
    for _ in range(50):
        n += 1
        db.execute('INSERT INTO t VALUES (?, ?)', (n, 'x' * (n % 3000)))
    db.execute('UPDATE total SET n = ?', (n,))
    db.execute('COMMIT')
    if n == 5000:
        open('ready', 'w').close()
";

const CHECK: &str = "
import sqlite3
db = sqlite3.connect('data.db')
print(db.execute('PRAGMA integrity_check').fetchone()[0])
total = db.execute('SELECT n FROM total').fetchone()[0]
count, last = db.execute('SELECT count(*), max(n) FROM t').fetchone()
print(total == count == last, total >= 5000)
";

#[tokio::test]
async fn a_database_that_is_written_meanwhile_is_whole_after_the_restore() {
    let sandboxd = Sandboxd::start();
    // More than the parts that are kept: most of the archive is made later.
    let large = noise(5 * PART_BYTES as usize, 11);
    fs::write(sandboxd.inside("a"), &large).unwrap();
    fs::write(sandboxd.inside("z"), &large).unwrap();
    for file in ["a", "z"] {
        let old = Command::new("touch")
            .args(["-d", "1 hour ago"])
            .arg(sandboxd.inside(file))
            .status();
        assert!(old.unwrap().success());
    }
    python(&sandboxd, "writer", WRITER).await;
    eventually("the database is there", || sandboxd.inside("ready").exists());
    for _ in 0..3 {
        let saved = sandboxd.save(&request()).await;
        end(&sandboxd, "writer").await;
        assert_eq!(saved.contents.changed_paths, [""; 0]);
        sandboxd.restore("/workspace", &saved).await;
        let check = Command::new("python3")
            .args(["-c", CHECK])
            .current_dir(sandboxd.inside(""))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(
            text,
            "ok\nTrue True\n",
            "{}",
            String::from_utf8_lossy(&check.stderr)
        );
        for file in ["data.db", "data.db-wal", "data.db-shm", "ready"] {
            // The check has removed some of them.
            let _ = fs::remove_file(sandboxd.inside(file));
        }
        python(&sandboxd, "writer", WRITER).await;
        eventually("the database is there again", || {
            sandboxd.inside("ready").exists()
        });
    }
}

#[tokio::test]
async fn a_file_that_changes_after_the_stop_is_counted() {
    let sandboxd = Sandboxd::start();
    let large = noise(4 * PART_BYTES as usize, 13);
    fs::write(sandboxd.inside("a"), &large).unwrap();
    fs::write(sandboxd.inside("changed"), "old").unwrap();
    fs::write(sandboxd.inside("gone"), "old").unwrap();
    fs::write(sandboxd.inside("z"), &large).unwrap();
    for file in ["a", "changed", "gone", "z"] {
        let old = Command::new("touch")
            .args(["-d", "1 hour ago"])
            .arg(sandboxd.inside(file))
            .status();
        assert!(old.unwrap().success());
    }
    let save = sandboxd.begin(&request()).await.unwrap();
    // The thread is at the first file, as nobody has fetched a part.
    fs::write(sandboxd.inside("changed"), "new and longer").unwrap();
    fs::remove_file(sandboxd.inside("gone")).unwrap();
    fs::write(sandboxd.inside("later"), "not in the list").unwrap();
    let saved = sandboxd.fetch(&save).await;
    assert_eq!(saved.contents.changed, 2);
    assert_eq!(saved.contents.changed_paths, ["changed", "gone"]);
    let paths: Vec<_> = saved.index().into_iter().map(|entry| entry.0).collect();
    assert_eq!(paths, ["", "a", "changed", "z"]);
    sandboxd.restore("/workspace", &saved).await;
    assert!(fs::read(sandboxd.inside("z")).unwrap() == large);
    assert!(!sandboxd.inside("later").exists());
}

#[tokio::test]
async fn a_file_that_was_just_written_is_saved_as_it_was_at_the_stop() {
    let sandboxd = Sandboxd::start();
    fs::write(sandboxd.inside("a"), noise(4 * PART_BYTES as usize, 17)).unwrap();
    fs::write(sandboxd.inside("fresh"), "of the stop").unwrap();
    // Files are copied only while processes are stopped, and there must be one.
    python(&sandboxd, "sleeper", "import time; time.sleep(600)").await;
    let save = sandboxd.begin(&request()).await.unwrap();
    fs::write(sandboxd.inside("fresh"), "later").unwrap();
    let saved = sandboxd.fetch(&save).await;
    assert_eq!(saved.contents.changed, 0);
    let index = saved.index();
    let fresh = index.iter().find(|entry| entry.0 == "fresh").unwrap();
    assert_eq!(saved.content(fresh), b"of the stop");
}
