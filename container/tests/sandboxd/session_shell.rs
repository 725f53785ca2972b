//! A command behaves the same with and without a session, and nothing that it does blocks the
//! session.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::Sandboxd;

/// Runs a command without a session and in one: both must have the same result.
fn is_the_same(sandboxd: &Sandboxd, body: &Value) {
    let plain = sandboxd.exec(body);
    let member = sandboxd.exec_in("s", body);
    assert_eq!(sandboxd.delete_session("s").0, 200);
    assert_eq!(member.stdout(), plain.stdout(), "{body}");
    assert_eq!(member.stderr(), plain.stderr(), "{body}");
    assert_eq!(member.exit, plain.exit, "{body}");
}

#[test]
fn output_arguments_and_exit_codes() {
    let sandboxd = Sandboxd::start();
    let long = format!(
        "cat <<'END'\n{}\nEND\n# done",
        "a 'line' with \"quotes\" $HOME \\ `x`\n".repeat(1000)
    );
    for shell in ["sh", "bash"] {
        for script in [
            "printf '\\001\\377\\000\\n'; echo err >&2; exit 113",
            "echo $0 $# \"$@\"",
            "exit 64",
            "kill -KILL $$",
            "kill -TERM $$",
            "set -x; echo traced",
            "nosuch\nalso_nosuch\necho $LINENO",
            "exec echo replaced",
            "echo a; # comment",
            "false",
            "(exit 7)",
            "set -u; echo $nope; echo more",
            "trap 'echo bye $?' EXIT; echo hi; exit 5",
            "trap 'echo bye; exit 9' EXIT; exit 5",
            "trap 'echo caught; exit 3' TERM; kill -TERM $$; sleep 5",
            "set -e; trap 'echo bye' EXIT; (trap 'echo inner' EXIT); false",
            "trap - EXIT; echo x",
            "cat",
            "",
            &long,
        ] {
            is_the_same(
                &sandboxd,
                &json!({"argv": [shell, "-c", script, "name", "one", "two words\n"], "stdin": "input"}),
            );
            is_the_same(&sandboxd, &json!({"argv": [shell, "-c", script]}));
        }
        is_the_same(
            &sandboxd,
            &json!({"argv": [shell, "-exc", "echo traced; false; echo no"]}),
        );
    }
    is_the_same(
        &sandboxd,
        &json!({"argv": ["bash", "-c", "trap 'echo its' EXIT; trap '' USR1; trap -p EXIT USR1; x=$(trap -p EXIT); echo \"$x\""]}),
    );
    is_the_same(
        &sandboxd,
        &json!({"argv": ["bash", "-c", "trap 'echo next' DEBUG; echo a"]}),
    );
    for argv in [
        json!(["nosuch"]),
        json!(["/etc/passwd"]),
        json!(["printf", "%s|", "", "a\nb", "'\"$x"]),
        json!(["cat"]),
        json!(["bash"]),
        json!(["sh", "-s", "a"]),
        json!(["bash", "-c"]),
        json!(["env", "A=1", "sh", "-c", "echo $A"]),
    ] {
        is_the_same(&sandboxd, &json!({"argv": argv, "stdin": "echo from stdin"}));
    }
    is_the_same(
        &sandboxd,
        &json!({"argv": ["head", "-c", "10000000", "/dev/zero"]}),
    );
    is_the_same(&sandboxd, &json!({"argv": ["sh", "-c", "seq 1000000"]}));
}

#[test]
fn nothing_wedges_a_session() {
    let sandboxd = Sandboxd::start();
    for script in [
        "exec true",
        "exec >/dev/null 2>&1",
        "exec 1>&- 2>&-",
        "set -e",
        "set -eu; set -o noclobber -o noglob",
        "set -n",
        "set -x 2>/dev/null",
        "set -o posix",
        "builtin() { :; }; declare() { :; }; printf() { :; }; trap() { :; }; eval() { :; }",
        "shopt -s expand_aliases\nalias builtin=false trap=false eval=false set=false printf=false",
        "unset PATH HOME IFS",
        "export PATH=/nowhere",
        "IFS=abcdefghijklmnopqrstuvwxyz",
        "readonly PATH HOME",
        "export BASH_ENV=/dev/urandom ENV=/dev/urandom",
        "kill -9 $$",
        "ulimit -f 0",
        "trap '' EXIT; trap '' TERM",
        "f() { f; }; readonly -f f",
        "set -o errexit; trap 'exit 1' ERR DEBUG",
        "cat /dev/zero | head -c 100000 >&231",
        "exec 231>&- 230>&-",
        "LC_ALL=nonsense; export LC_ALL LANG=",
    ] {
        sandboxd.exec_in(
            "s",
            &json!({"argv": ["bash", "-c", script], "timeout_ms": 10_000}),
        );
        let cd = sandboxd.exec_in("s", &json!({"argv": ["cd", "/usr"], "timeout_ms": 10_000}));
        assert_eq!(cd.code(), 0, "{script}: {cd:?}");
        assert_eq!(sandboxd.run_in("s", &["/bin/pwd"]).0, "/usr\n", "{script}");
        sandboxd.run_in("s", &["unset", "BASH_ENV"]);
        let output = sandboxd.run_in("s", &["/bin/bash", "-c", "\\cd / && /bin/echo works"]);
        assert!(
            output.0.contains("works") && output.1 == 0,
            "{script}: {output:?}"
        );
        assert_eq!(
            sandboxd.run_in("s", &["/bin/echo", "direct"]).0,
            "direct\n",
            "{script}"
        );
        assert_eq!(sandboxd.delete_session("s").0, 200);
    }
}

#[test]
fn a_directory_that_is_gone() {
    let sandboxd = Sandboxd::start();
    let workspace = sandboxd.workspace.path();
    fs::write(workspace.join("precious"), "x").unwrap();
    fs::create_dir(workspace.join("gone")).unwrap();
    assert_eq!(sandboxd.run_in("s", &["bash", "-c", "set -e; cd gone"]).1, 0);
    fs::remove_dir(workspace.join("gone")).unwrap();
    for argv in [
        &["rm", "-rf", "precious", "../precious"][..],
        &["sh", "-c", "rm -rf * ../*; echo ran"],
        &["ls"],
    ] {
        sandboxd.run_in("s", argv);
    }
    assert!(
        workspace.join("precious").exists(),
        "a command does not run elsewhere instead"
    );
    assert_ne!(sandboxd.run_in("s", &["touch", "file"]).1, 0);
    // It is found again when it is made again, and can be left.
    fs::create_dir(workspace.join("gone")).unwrap();
    let (pwd, _) = sandboxd.run_in("s", &["pwd"]);
    assert_eq!(pwd, format!("{}/gone\n", workspace.to_str().unwrap()));
    fs::remove_dir(workspace.join("gone")).unwrap();
    assert_eq!(sandboxd.exec_in("s", &json!({"argv": ["cd", "/usr"]})).code(), 0);
    assert_eq!(sandboxd.run_in("s", &["pwd"]), ("/usr\n".into(), 0));
}

#[test]
fn a_directory_is_called_as_the_shell_called_it() {
    let sandboxd = Sandboxd::start();
    let workspace = sandboxd.workspace.path();
    fs::create_dir(workspace.join("real\n dir")).unwrap();
    symlink("real\n dir", workspace.join("link")).unwrap();
    assert_eq!(sandboxd.run_in("s", &["cd", "link"]).1, 0);
    let link = format!("{}/link\n", workspace.to_str().unwrap());
    assert_eq!(sandboxd.run_in("s", &["sh", "-c", "pwd"]).0, link);
    assert_eq!(
        sandboxd.run_in("s", &["bash", "-c", "pwd; cd .; cd -P ."]).0,
        link
    );
    assert_eq!(
        sandboxd.run_in("s", &["bash", "-c", "pwd"]).0,
        format!("{}/real\n dir\n", workspace.to_str().unwrap())
    );
}

#[test]
fn much_state() {
    let sandboxd = Sandboxd::start();
    let many = "for i in {1..19}; do printf -v \"V$i\" %0100000d 7; export V$i; done";
    assert_eq!(sandboxd.run_in("s", &["bash", "-c", many]), (String::new(), 0));
    for shell in ["bash", "sh"] {
        assert_eq!(sandboxd.run_in("s", &[shell, "-c", "echo ${#V7}"]).0, "100000\n");
    }
    // More than the kernel takes for any program: then only what needs none works, and that
    // suffices to undo it.
    assert_eq!(
        sandboxd
            .run_in("s", &["bash", "-c", "for i in {20..30}; do export V$i=$V7; done"])
            .1,
        0
    );
    assert_eq!(
        sandboxd.run_in("s", &["ls"]),
        ("ls: Argument list too long\n".into(), 126)
    );
    assert_eq!(sandboxd.run_in("s", &["bash", "-c", "unset ${!V*}"]).1, 0);
    assert_eq!(sandboxd.run_in("s", &["ls"]), (String::new(), 0));
    // Too much to keep.
    let huge = sandboxd.exec_in(
        "s",
        &json!({"argv": ["bash", "-c", "A=1; printf -v HUGE %05000000d 7; echo done"]}),
    );
    assert_eq!((huge.text().as_str(), huge.code()), ("done\n", 0));
    assert!(
        huge.stderr()
            .contains("session s: its state is over 4 MiB and was not kept"),
        "{}",
        huge.stderr()
    );
    assert_eq!(
        sandboxd.run_in("s", &["bash", "-c", "echo ${A-none}"]).0,
        "none\n"
    );
    assert!(
        sandboxd.resident_kib() < 60 * 1024,
        "{} KiB",
        sandboxd.resident_kib()
    );
}

#[test]
fn an_image_without_bash() {
    let directory = tempfile::tempdir().unwrap();
    for tool in ["printenv", "mkdir"] {
        symlink(format!("/usr/bin/{tool}"), directory.path().join(tool)).unwrap();
    }
    symlink("/bin/sh", directory.path().join("sh")).unwrap();
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("PATH", directory.path());
    });
    for (argv, text) in [
        (&["mkdir", "src"][..], ""),
        (&["cd", "src"], ""),
        (&["export", "A=it's\n"], ""),
        (&["printenv", "A"], "it's\n\n"),
        (
            &["sh", "-c", "echo ${PWD##*/} \"$A\"; cd ..; A=c"],
            "src it's\n\n",
        ),
        (&["sh", "-c", "[ $A = c ] && ! [ ${PWD##*/} = src ]"], ""),
    ] {
        assert_eq!(sandboxd.run_in("s", argv), (text.to_owned(), 0), "{argv:?}");
    }
}
