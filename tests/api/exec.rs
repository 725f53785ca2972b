//! The input and environment of a command, and its exit code.

use serde_json::json;

use crate::sandbox;

#[tokio::test]
async fn argv_arrives_exactly() {
    let sandbox = sandbox().await;
    let long = "x y\n".repeat(2048);
    let args = [
        "",
        " ",
        "a b",
        "$HOME `id` \"'\\",
        "line\nline",
        "*",
        "-n",
        "日本語 🦀",
        "\u{1}\t",
        long.as_str(),
    ];
    let script = "for a in \"$@\"; do printf '%s\\0' \"$a\"; done";
    let mut argv = vec!["sh", "-c", script, "sh"];
    argv.extend(args);
    let finished = sandbox.exec(&json!({ "argv": argv })).await;
    let got: Vec<&[u8]> = finished.stdout.split(|b| *b == 0).collect();
    assert_eq!(got.len(), args.len() + 1);
    for (got, sent) in got.iter().zip(args) {
        assert_eq!(*got, sent.as_bytes());
    }
    assert_eq!(finished.code(), 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn no_shell_stands_between() {
    let sandbox = sandbox().await;
    let finished = sandbox
        .exec(&json!({ "argv": ["echo", "$HOME", "&&", "false", ">x"] }))
        .await;
    assert_eq!(
        (finished.text().as_str(), finished.code()),
        ("$HOME && false >x\n", 0)
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn exit_codes_pass_through() {
    let sandbox = sandbox().await;
    for code in [0, 1, 2, 64, 111, 112, 113, 114, 124, 126, 127, 255] {
        let finished = sandbox.sh(&format!("exit {code}")).await;
        assert_eq!(finished.exit.unwrap(), json!({ "exit_code": code }));
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_signal_is_128_and_its_number() {
    let sandbox = sandbox().await;
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("INT", 2)] {
        let finished = sandbox.sh(&format!("kill -s {name} $$")).await;
        assert_eq!(
            finished.exit.unwrap(),
            json!({ "exit_code": 128 + number, "signal": format!("SIG{name}") })
        );
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn not_found_is_127_and_not_executable_126_with_the_shells_messages() {
    let sandbox = sandbox().await;
    sandbox
        .sh("echo data > plain; mkdir dir; printf 'echo by sh' > script; chmod +x script")
        .await;
    for (program, code, message) in [
        ("no-such-program", 127, "not found"),
        ("./no-such-file", 127, "No such file or directory"),
        ("/workspace/plain", 126, "Permission denied"),
        ("./plain", 126, "Permission denied"),
        ("/workspace/dir", 126, "directory"),
    ] {
        let finished = sandbox.exec(&json!({ "argv": [program] })).await;
        let stderr = finished.stderr_text();
        assert_eq!(finished.code(), code, "{program}: {stderr}");
        assert!(
            stderr.contains(message) && stderr.contains(program),
            "{program}: {stderr}"
        );
    }
    let script = sandbox.exec(&json!({ "argv": ["./script"] })).await;
    assert_eq!(
        (script.text().as_str(), script.code()),
        ("by sh\n", 0),
        "a script without #! is run as shells do"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_argv_that_is_too_long_is_126_with_the_reason() {
    let sandbox = sandbox().await;
    let finished = sandbox
        .exec(&json!({ "argv": ["echo", "x".repeat(3 << 20)] }))
        .await;
    assert_eq!(finished.code(), 126);
    assert!(
        finished.stderr_text().contains("Argument list too long"),
        "{}",
        finished.stderr_text()
    );
    let finished = sandbox
        .exec(&json!({ "argv": ["sh", "-c", "echo ${#1}", "sh", "x".repeat(100_000)] }))
        .await;
    assert_eq!(finished.text(), "100000\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_bare_builtin_runs_in_a_shell() {
    let sandbox = sandbox().await;
    for argv in [
        json!(["cd", "/tmp"]),
        json!(["export", "A=b c"]),
        json!(["ulimit", "-n"]),
        json!(["type", "sh"]),
    ] {
        let finished = sandbox.exec(&json!({ "argv": argv })).await;
        assert_eq!(finished.code(), 0, "{argv}: {}", finished.stderr_text());
    }
    assert_eq!(sandbox.exec(&json!({ "argv": ["exit", "7"] })).await.code(), 7);
    sandbox.destroy().await;
}

#[tokio::test]
async fn cwd_env_and_stdin_are_the_calls_own() {
    let sandbox = sandbox().await;
    assert_eq!(
        sandbox.exec(&json!({ "argv": ["pwd"] })).await.text(),
        "/workspace\n"
    );
    sandbox.sh("mkdir -p 'a b/c'").await;
    for cwd in ["a b/c", "/workspace/a b/c", "/workspace/./x/../a b//c/"] {
        let finished = sandbox.exec(&json!({ "argv": ["pwd"], "cwd": cwd })).await;
        assert_eq!(finished.text(), "/workspace/a b/c\n");
    }
    let body = json!({ "argv": ["sh", "-c", "printf %s \"$A|$B|$HOME\""], "env": { "A": "1\n=2", "B": "", "HOME": "/h" } });
    assert_eq!(sandbox.exec(&body).await.text(), "1\n=2||/h");
    assert_eq!(
        sandbox.sh("printf %s \"$A\"").await.text(),
        "",
        "nothing stays of a call's environment"
    );
    assert_eq!(
        sandbox
            .exec(&json!({ "argv": ["cat"], "stdin": "héllo\n" }))
            .await
            .text(),
        "héllo\n"
    );
    let bytes = sandbox
        .exec(&json!({ "argv": ["cat"], "stdin": { "base64": "AAH/gA==" } }))
        .await;
    assert_eq!(bytes.stdout, [0, 1, 0xff, 0x80]);
    assert_eq!(
        sandbox.exec(&json!({ "argv": ["cat"] })).await.code(),
        0,
        "no stdin is an empty one"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn large_stdin_streams_and_may_be_left_unread() {
    let sandbox = sandbox().await;
    let text = "0123456789abcdef".repeat(256 * 1024);
    let finished = sandbox
        .exec(&json!({ "argv": ["sh", "-c", "wc -c"], "stdin": text }))
        .await;
    assert_eq!(finished.text().trim(), text.len().to_string());
    let unread = sandbox
        .exec(&json!({ "argv": ["sh", "-c", "exit 3"], "stdin": text }))
        .await;
    assert_eq!(unread.code(), 3);
    sandbox.destroy().await;
}

#[tokio::test]
async fn commands_have_a_usable_environment_and_no_secret_of_the_bridge() {
    let sandbox = sandbox().await;
    let env = sandbox.exec(&json!({ "argv": ["env"] })).await.text();
    for name in ["PATH=", "HOME=", "LANG="] {
        assert!(env.lines().any(|line| line.starts_with(name)), "{name} in {env}");
    }
    for name in ["LISTEN_FDS", "SANDBOX_BOOT_ID", "SANDBOX_API_KEY"] {
        assert!(!env.contains(name), "{env}");
    }
    sandbox.destroy().await;
}
