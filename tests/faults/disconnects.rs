//! Clients leave at every stage of every request: in its head, its body, its answer. They leave
//! nothing behind.

use std::time::Duration;

use sandbar_tests::{Sandbox, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::{bridge, eventually, sandbox};

/// The bytes of an answer that a client reads before it leaves.
const READS: [usize; 5] = [0, 1, 200, 5_000, 300_000];
const BIG: usize = 8 << 20;

/// A request as it goes over the wire.
struct Wire {
    /// `METHOD PATH`, and further header lines.
    head: String,
    body: Vec<u8>,
}

impl Wire {
    fn new(sandbox: &Sandbox, method: &str, rest: &str, body: Vec<u8>) -> Self {
        let length = body.len();
        Self {
            head: format!(
                "{method} /v1/sandbox/{}{rest}\nContent-Length: {length}",
                sandbox.id
            ),
            body,
        }
    }

    fn exec(sandbox: &Sandbox, script: &str) -> Self {
        let body = serde_json::json!({ "argv": ["sh", "-c", script] }).to_string();
        Self::new(sandbox, "POST", "/exec", body.into_bytes())
    }

    fn chunked_put(sandbox: &Sandbox, file: &str) -> Self {
        let mut body = Vec::new();
        for _ in 0..BIG >> 16 {
            body.extend(b"10000\r\n");
            body.resize(body.len() + (1 << 16), b'n');
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        let head = format!(
            "PUT /v1/sandbox/{}/file/{file}\nTransfer-Encoding: chunked",
            sandbox.id
        );
        Self { head, body }
    }

    /// Sends the head and `sent` bytes of the body, reads `read` bytes of the answer, then leaves.
    async fn leave(&self, sent: usize, read: usize) {
        let mut stream =
            raw::connect(bridge(), &self.head, self.body.get(..sent).unwrap_or(&self.body)).await;
        let mut answer = vec![0; read];
        // It does not wait long for its bytes.
        let _ = timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
    }
}

#[tokio::test]
async fn clients_that_leave_leave_nothing() {
    let sandbox = sandbox().await;
    sandbox.put("workspace/big", vec![b'b'; BIG]).await;
    sandbox.put("workspace/old", "old").await;
    let before = left(&sandbox).await;

    let answered = [
        Wire::exec(&sandbox, "sleep 4201"),
        Wire::exec(&sandbox, "echo up; sleep 4201 & setsid sleep 4201 & sleep 4201"),
        Wire::exec(&sandbox, "yes"),
        Wire::exec(&sandbox, "exit 3"),
        Wire::new(&sandbox, "GET", "/file/workspace/big", Vec::new()),
        Wire::new(&sandbox, "POST", "/persist", Vec::new()),
        Wire::new(&sandbox, "GET", "/running", Vec::new()),
    ];
    for request in &answered {
        for read in READS {
            request.leave(usize::MAX, read).await;
        }
        for sent in [0, 1, request.body.len() / 2] {
            request.leave(sent, 0).await;
        }
    }

    let uploads = [
        Wire::new(&sandbox, "PUT", "/file/workspace/old", vec![b'n'; BIG]),
        Wire::chunked_put(&sandbox, "workspace/old"),
        Wire::new(&sandbox, "POST", "/hydrate", vec![0; BIG]),
    ];
    for upload in &uploads {
        for sent in [0, 1, 70_000, BIG / 2, BIG - 1] {
            upload.leave(sent, 0).await;
        }
    }

    eventually("everything is as it was", || async {
        left(&sandbox).await == before
    })
    .await;
    assert_eq!(sandbox.get("workspace/old").await.text().await.unwrap(), "old");
    assert_eq!(
        sandbox.get("workspace/big").await.bytes().await.unwrap().len(),
        BIG
    );
    assert_eq!(sandbox.sh("echo well").await.text(), "well\n");
    sandbox.destroy().await;
}

/// Sessions are queues: one that lost its clients goes on.
#[tokio::test]
async fn clients_that_leave_a_sessions_queue_leave_it_free() {
    let sandbox = sandbox().await;
    let in_session = |script: &str| {
        let mut wire = Wire::exec(&sandbox, script);
        wire.head.push_str("\nSession-Id: queue");
        wire
    };
    let before = left(&sandbox).await;
    let mut waiting = Vec::new();
    for script in ["sleep 4201", "sleep 4201", "yes", "sleep 4201"] {
        let wire = in_session(script);
        waiting.push(raw::connect(bridge(), &wire.head, &wire.body).await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    while let Some(mut client) = waiting.pop() {
        let _ = client.shutdown().await;
        drop(client);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, answer) = raw::send(
        bridge(),
        &in_session("echo next").head,
        &in_session("echo next").body,
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("exit_code\":0"), "{answer}");
    eventually("everything is as it was", || async {
        left(&sandbox).await == before
    })
    .await;
    sandbox.destroy().await;
}

/// The content of a sandbox: its processes, without those of this script, and its files.
async fn left(sandbox: &Sandbox) -> String {
    let script = "cat /proc/[0-9]*/comm 2>/dev/null | grep -vx -e cat -e sh -e grep -e sort | sort; \
                  find /workspace /tmp | sort";
    sandbox.sh(script).await.text()
}
