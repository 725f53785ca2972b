//! Conditional changes: of clients with the same condition, one succeeds.

use futures_util::future::join_all;
use reqwest::{Method, Response};
use sandbar_tests::client::assert_error;
use sandbar_tests::{Bridge, Client, Sandbox};

use crate::sandbox;

async fn put(sandbox: &Sandbox, name: &str, condition: (&'static str, &str), body: String) -> Response {
    let request = sandbox.request(Method::PUT, &format!("/file/workspace/{name}"));
    let request = request.header(condition.0, condition.1).body(body);
    request.send().await.unwrap()
}

fn etag(response: &Response) -> String {
    response.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_write_with_the_tag_of_an_older_version_is_412() {
    let sandbox = sandbox().await;
    let first = etag(&sandbox.put("workspace/f", "1").await);
    let read = sandbox.get("workspace/f").await;
    assert_eq!(etag(&read), first, "a read has the tag of the write at once");
    let second = put(&sandbox, "f", ("if-match", &first), "2".into()).await;
    assert_eq!(second.status(), 200);
    let second = etag(&second);
    assert_ne!(first, second);
    let stale = put(&sandbox, "f", ("if-match", &first), "3".into()).await;
    assert_error(stale, 412, "precondition_failed").await;
    for query in ["?in_place=true", "?append=true"] {
        let stale = put(&sandbox, &format!("f{query}"), ("if-match", &first), "3".into()).await;
        assert_error(stale, 412, "precondition_failed").await;
    }
    // A large body, which is received before it is refused or accepted.
    let large = put(&sandbox, "f", ("if-match", &first), "x".repeat(2_000_000)).await;
    assert_error(large, 412, "precondition_failed").await;
    assert_eq!(sandbox.sh("cat f; ls -A").await.text(), "2f\n");
    sandbox.sh("echo more >> f").await;
    let changed = put(&sandbox, "f", ("if-match", &second), "3".into()).await;
    assert_error(changed, 412, "precondition_failed").await;
    let delete = |tag: String| {
        sandbox
            .request(Method::DELETE, "/file/workspace/f")
            .header("if-match", tag)
            .send()
    };
    assert_error(delete(second).await.unwrap(), 412, "precondition_failed").await;
    let current = etag(&sandbox.get("workspace/f").await);
    let _ = current;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let current = etag(&sandbox.get("workspace/f").await);
    assert_eq!(delete(current).await.unwrap().status(), 200);
    for tag in ["*", "\"1\""] {
        let missing = put(&sandbox, "none/deep/f", ("if-match", tag), "3".into()).await;
        assert_error(missing, 412, "precondition_failed").await;
    }
    assert_eq!(sandbox.sh("ls -A").await.text(), "", "nothing is made for it");
    sandbox.destroy().await;
}

#[tokio::test]
async fn of_many_that_create_a_file_one_does() {
    let sandbox = sandbox().await;
    sandbox.sh(":").await;
    for round in 0..10 {
        let name = format!("f{round}");
        let puts = (0..8).map(|i| put(&sandbox, &name, ("if-none-match", "*"), i.to_string()));
        let statuses: Vec<u16> = join_all(puts)
            .await
            .iter()
            .map(|response| response.status().as_u16())
            .collect();
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            1,
            "{statuses:?}"
        );
        assert_eq!(
            statuses.iter().filter(|status| **status == 412).count(),
            7,
            "{statuses:?}"
        );
        let winner = statuses.iter().position(|status| *status == 200).unwrap();
        let text = sandbox
            .get(&format!("workspace/{name}"))
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(text, winner.to_string());
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn of_many_that_replace_a_version_one_does_and_no_write_is_lost() {
    // A bridge of its own: thousands of lines would push those of other tests out of the log.
    let sandbox = Client::new(&Bridge::start(&[])).create().await;
    sandbox.put("workspace/n", "").await;
    let clients = (0..8).map(|client: usize| {
        let sandbox = sandbox.clone();
        async move {
            for i in 0..25 {
                loop {
                    let read = sandbox.get("workspace/n").await;
                    let tag = etag(&read);
                    let text = read.text().await.unwrap();
                    let written =
                        put(&sandbox, "n", ("if-match", &tag), format!("{text}{client}.{i}\n")).await;
                    match written.status().as_u16() {
                        200 => break,
                        412 => {}
                        status => panic!("{status}"),
                    }
                }
            }
        }
    });
    join_all(clients).await;
    let text = sandbox.get("workspace/n").await.text().await.unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<_> = (0..8)
        .flat_map(|client| (0..25).map(move |i| format!("{client}.{i}")))
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
    sandbox.destroy().await;
}

#[tokio::test]
async fn of_two_that_write_in_place_with_the_same_tag_one_does() {
    let sandbox = sandbox().await;
    for query in ["", "?in_place=true"] {
        let first = etag(&sandbox.put("workspace/f", "1").await);
        // Its body ends when the other one has written.
        let (sender, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
        let body = futures_util::stream::unfold(body, async |mut body| Some((body.recv().await?, body)));
        let slow = sandbox.request(Method::PUT, "/file/workspace/f?in_place=true");
        let slow = slow
            .header("if-match", &first)
            .body(reqwest::Body::wrap_stream(body));
        let slow = tokio::spawn(slow.send());
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let fast = put(
            &sandbox,
            &format!("f{query}"),
            ("if-match", &first),
            "fast".into(),
        )
        .await;
        assert_eq!(fast.status(), 200);
        sender.send(Ok(b"slow".to_vec())).await.unwrap();
        drop(sender);
        let slow = slow.await.unwrap().unwrap();
        assert_error(slow, 412, "precondition_failed").await;
        assert_eq!(sandbox.sh("cat f; ls").await.text(), "fastf\n", "{query}");
    }
    sandbox.destroy().await;
}
