//! Terminals: how they are opened, what they run, and their output. More of those that a client comes back
//! to is in `container/tests/sandboxd/pty_session.rs`.

use futures_util::future::join_all;
use reqwest::Method;
use sandbar_tests::Terminal;
use sandbar_tests::client::assert_error;
use sandbar_tests::terminal::request;
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use crate::{eventually, sandbox};

#[tokio::test]
async fn a_line_is_run_and_its_exit_code_comes_after_its_output() {
    let sandbox = sandbox().await;
    let ended = Terminal::run(&sandbox, "printf 'a\\n'; exit 3")
        .await
        .finish()
        .await;
    assert_eq!((ended.text().as_str(), ended.code()), ("a\n", 3));
    assert_eq!(ended.last, Some(json!({ "type": "exit", "code": 3 })));
    let ended = Terminal::run(&sandbox, "kill -9 $$").await.finish().await;
    let exit = json!({ "type": "exit", "code": 137, "signal": "SIGKILL" });
    assert_eq!((ended.last, ended.close), (Some(exit), Some(1000)));
    sandbox.destroy().await;
}

#[tokio::test]
async fn output_is_exact_and_complete() {
    let sandbox = sandbox().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    sandbox.put("workspace/bytes", bytes.clone()).await;
    let ended = Terminal::run(&sandbox, "cat bytes").await.finish().await;
    assert_eq!(ended.code(), 0);
    assert!(ended.output == bytes, "{} bytes", ended.output.len());
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_long_line_with_lines_inside_arrives_as_it_is() {
    let sandbox = sandbox().await;
    let text = "é 'x'\n".repeat(2000).replace('\'', "'\\''");
    let line = format!("printf %s '{text}' | sha256sum; printf %s '{text}' >text");
    let ended = Terminal::run(&sandbox, &line).await.finish().await;
    let sum = sandbox.sh("sha256sum <text").await.text();
    assert_eq!((ended.text(), ended.code()), (sum, 0));
    let written = sandbox.get("workspace/text").await.text().await.unwrap();
    assert_eq!(written, "é 'x'\n".repeat(2000));
    sandbox.destroy().await;
}

#[tokio::test]
async fn further_input_reaches_the_command() {
    let sandbox = sandbox().await;
    let mut terminal = Terminal::run(&sandbox, "read -r line; echo \"<$line>\"; exec sleep 600").await;
    terminal.send("input\n").await;
    assert_eq!(terminal.wait_for(">\n").await, "<input>\n", "nothing is echoed");
    terminal.send("\x03").await;
    assert_eq!(terminal.finish().await.code(), 130);
    sandbox.destroy().await;
}

#[tokio::test]
async fn keys_get_an_interactive_login_shell() {
    let sandbox = sandbox().await;
    for query in ["", "mode=shell"] {
        let mut terminal = Terminal::open(&sandbox, query).await;
        terminal
            .send("shopt -q login_shell && echo $-\" $((6*7))\"; pwd\r")
            .await;
        let text = terminal.wait_for(" 42\r\n").await;
        assert!(text.contains('i'), "{text}");
        terminal.wait_for("/workspace\r\n").await;
        terminal.send("exit 7\r").await;
        assert_eq!(terminal.finish().await.code(), 7);
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_shell_can_be_chosen_and_a_missing_one_is_an_error() {
    let sandbox = sandbox().await;
    let mut terminal = Terminal::open(&sandbox, "shell=/bin/sh&mode=command").await;
    terminal.send("echo $0").await;
    assert_eq!(terminal.finish().await.text(), "sh\n");
    let key = sandbox.client.bridge.key.clone();
    let missing = request(&sandbox, "shell=no-such-shell", Some(&key));
    let ended = Terminal::connect(missing).await.unwrap().finish().await;
    let error = json!({ "type": "error", "message": "no-such-shell: command not found" });
    assert_eq!((ended.last, ended.close), (Some(error), Some(1011)));
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_size_reaches_the_program() {
    let sandbox = sandbox().await;
    let mut terminal = Terminal::open(&sandbox, "cols=120&rows=30").await;
    let line = "stty size; trap 'stty size' WINCH; echo trapped; while sleep 0.05; do :; done\n";
    terminal.send(line).await;
    assert_eq!(terminal.wait_for("trapped\n").await, "30 120\ntrapped\n");
    terminal.resize(1, 1000).await;
    assert_eq!(terminal.wait_for("\n").await, "1000 1\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn bad_text_frames_are_answered_and_the_terminal_goes_on() {
    let sandbox = sandbox().await;
    let mut terminal = Terminal::run(&sandbox, "cat").await;
    for bad in ["", "{", "[]", "{\"type\":\"resize\",\"cols\":0,\"rows\":9}"] {
        terminal.send_text(bad).await;
        let answer = terminal.message().await;
        assert_eq!(answer["type"], "error", "{bad}");
        assert!(answer["message"].is_string());
    }
    terminal.send("on\n\x04").await;
    let ended = terminal.finish().await;
    assert_eq!((ended.text().as_str(), ended.code()), ("on\n", 0));
    sandbox.destroy().await;
}

#[tokio::test]
async fn ten_thousand_resizes() {
    let sandbox = sandbox().await;
    let line = "trap : WINCH; read -r line; stty size; echo $line";
    let mut terminal = Terminal::run(&sandbox, line).await;
    for n in 0..10_000 {
        terminal.resize(n % 900 + 1, n % 700 + 1).await;
    }
    terminal.resize(80, 25).await;
    terminal.send("over\n").await;
    let ended = terminal.finish().await;
    assert_eq!((ended.text().as_str(), ended.code()), ("25 80\nover\n", 0));
    sandbox.destroy().await;
}

#[tokio::test]
async fn sixty_four_at_once_each_its_own() {
    let sandbox = sandbox().await;
    sandbox.boot_id().await;
    let one = async |n: usize| {
        let mut terminal =
            Terminal::run(&sandbox, &format!("n={n}; read -r line; echo $n $line; exit $n")).await;
        terminal.send(format!("line {n}\n")).await;
        terminal.finish().await
    };
    for (n, ended) in join_all((0..64).map(one)).await.into_iter().enumerate() {
        assert_eq!(ended.text(), format!("{n} line {n}\n"));
        assert_eq!(ended.code(), n as i64);
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_session_lends_its_state_and_keeps_its_terminal() {
    let sandbox = sandbox().await;
    let exec = |script: &str| {
        sandbox
            .request(Method::POST, "/exec")
            .header("session-id", "s.1")
            .json(&json!({ "argv": ["bash", "-c", script] }))
            .send()
    };
    let made = exec("mkdir sub; cd sub; export A=b").await.unwrap();
    made.text().await.unwrap();
    let mut terminal = Terminal::open(&sandbox, "session=s.1&mode=shell").await;
    terminal.send("echo \"<$A ${PWD##*/}>\"; mark=$((6*7))\r").await;
    terminal.wait_for("<b sub>\r\n").await;
    drop(terminal);
    // The header means the same.
    let key = sandbox.client.bridge.key.clone();
    let mut again = request(&sandbox, "cols=80", Some(&key));
    again.headers_mut().insert("session-id", "s.1".parse().unwrap());
    let mut terminal = Terminal::connect(again).await.unwrap();
    assert_eq!(terminal.message().await["type"], "ready");
    terminal.wait_for("<b sub>\r\n").await;
    terminal.send("echo \"again <$mark>\"\r").await;
    terminal.wait_for("again <42>\r\n").await;
    // One without a session is its own.
    let ended = Terminal::run(&sandbox, "echo ${mark-none} ${A-none}")
        .await
        .finish()
        .await;
    assert_eq!(ended.text(), "none none\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn bad_requests_are_400_and_start_nothing() {
    let sandbox = sandbox().await;
    let response = sandbox.request(Method::GET, "/pty").send().await.unwrap();
    let text = assert_error(response, 400, "invalid_request").await;
    assert!(text.contains("WebSocket upgrade required"), "{text}");
    let key = sandbox.client.bridge.key.clone();
    for (query, word) in [
        ("cols=abc", "cols and rows must be valid numbers"),
        ("rows=0", "cols and rows must be valid numbers"),
        ("cols=1001", "cols and rows must be valid numbers"),
        ("mode=other", "mode"),
        ("shell=a%20b", "shell"),
        ("session=a..b", "Invalid session ID format"),
        ("session=%FF", "session"),
    ] {
        match Terminal::connect(request(&sandbox, query, Some(&key)))
            .await
            .err()
        {
            Some(Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), 400, "{query}");
                let body = String::from_utf8(response.into_body().unwrap_or_default()).unwrap();
                assert!(body.contains(word), "{query}: {body}");
            }
            other => panic!("{query}: {other:?}"),
        }
    }
    assert!(!sandbox.running().await);
}

#[tokio::test]
async fn the_key_may_come_in_the_query_of_a_terminal_and_of_nothing_else() {
    let sandbox = sandbox().await;
    let key = sandbox.client.bridge.key.clone();
    if key.is_empty() {
        return;
    }
    let query = format!("cols=80&authorization=Bearer%20{key}&rows=24");
    let mut terminal = Terminal::connect(request(&sandbox, &query, None)).await.unwrap();
    assert_eq!(terminal.message().await["type"], "ready");
    terminal.send("env; cat /proc/*/cmdline\n").await;
    let ended = terminal.finish().await;
    assert!(!ended.text().contains(&key), "the key does not reach the sandbox");
    let (log, id) = (&sandbox.client.bridge.log, &sandbox.id);
    if !log.text().is_empty() {
        let logged = || async { log.count(&["/v1/sandbox/{id}/pty", id]) > 0 };
        eventually("the request is logged", logged).await;
        let bearer = format!("Bearer%20{key}");
        assert_eq!(
            log.count(&["authorization="]) + log.count(&[&bearer]),
            0,
            "no query is"
        );
    }
    for query in [
        "",
        "authorization=Bearer%20wrong",
        "authorization=",
        &format!("Authorization={key}"),
    ] {
        match Terminal::connect(request(&sandbox, query, None)).await.err() {
            Some(Error::Http(response)) => assert_eq!(response.status().as_u16(), 401, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
    // A correct query does not make up for a wrong header.
    let both = request(&sandbox, &query, Some("wrong"));
    assert!(Terminal::connect(both).await.is_err());
    let url = format!(
        "{}/v1/sandbox/{}/running?{query}",
        sandbox.client.bridge.url, sandbox.id
    );
    let response = sandbox.client.http.get(url).send().await.unwrap();
    assert_error(response, 401, "unauthorized").await;
    sandbox.destroy().await;
}
