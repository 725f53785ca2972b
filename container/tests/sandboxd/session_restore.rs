//! State that is hard to keep or to restore. No construct may end the shells that come after it.

use std::fs;

use serde_json::json;

use crate::support::{Sandboxd, Terminal};

fn bash(sandboxd: &Sandboxd, script: &str) -> (String, i32) {
    sandboxd.run_in("s", &["bash", "-c", script])
}

#[test]
fn every_construct_of_bash_is_restored() {
    let sandboxd = Sandboxd::start();
    for (set, check, expected) in [
        ("my-func() { echo f; }", "set -o posix", ""),
        (
            "my-func() { echo f; }; set -o posix",
            "shopt -qo posix && my-func",
            "f\n",
        ),
        (
            "function if { echo reserved; }; function a=b { echo equals; }",
            "\\if; 'a=b'",
            "reserved\nequals\n",
        ),
        (
            "@f() { cat <<END\ng () \n{ \nEND\n}; g() { echo g; } 2>/dev/null",
            "@f; g",
            "g () \n{ \ng\n",
        ),
        (
            "shopt -s extglob\nf() { case $1 in +(a)) echo a;; esac; }; shopt -u extglob",
            "shopt extglob; shopt -s extglob; f aa",
            "extglob        \toff\na\n",
        ),
        (
            "f() { echo exported; }; export -f f; readonly -f f",
            "env bash -c f; f() { :; }",
            "exported\nbash: line 1: f: readonly function\n",
        ),
        (
            "f() { :; }; g() { :; }",
            "unset -f f; declare -F",
            "declare -f g\n",
        ),
        (
            "declare() { echo own; }; set() { :; }; eval() { :; }; printf() { :; }; cd() { :; }; trap() { :; }",
            "declare; \\builtin pwd >/dev/null",
            "own\n",
        ),
        (
            "alias ll='echo \"it'\\''s\"' alias=echo -- -x=date if2='if true; then'",
            "ll; if2 echo yes; fi",
            "it's\nyes\n",
        ),
        ("alias a=b; unalias a", "alias", ""),
        (
            "n='1 + x y'; declare -i n; declare -ai list=(1 2)",
            "declare -p n list",
            "declare -i n=\"1 + x y\"\ndeclare -ai list=([0]=\"1\" [1]=\"2\")\n",
        ),
        (
            "declare -A map=(['a b']=$'c\\n' ['$x']=\"'\"); list=([3]=x [7]='a b'); empty=()",
            "declare -p list empty; echo \"${map[a b]}${map[\\$x]}\"",
            "declare -a list=([3]=\"x\" [7]=\"a b\")\ndeclare -a empty=()\nc\n'\n",
        ),
        (
            "declare -n ref=target; target=(1 2); declare -n other",
            "echo ${ref[1]}; declare -p other",
            "2\ndeclare -n other\n",
        ),
        (
            "readonly R=1 PATH; declare -u U=up; declare -r A=(1)",
            "R=2",
            "bash: line 1: R: readonly variable\n",
        ),
        (
            "shopt -s failglob nullglob dotglob; set -u -f -C",
            "echo $- | tr -d hBc; echo \"${nope-unset}\"",
            "fuC\nunset\n",
        ),
        ("IFS=0123456789/; export IFS", "v=a5b; echo $v", "a b\n"),
        ("umask 027", "umask; touch file; stat -c %a file", "0027\n640\n"),
        (
            "export POSIXLY_CORRECT=1",
            "shopt -qo posix && echo $POSIXLY_CORRECT",
            "1\n",
        ),
        (
            "cd /usr; set -e; false; cd /",
            "echo $PWD; false; echo no",
            "/usr\n",
        ),
        ("enable -n printf declare pwd; cd /usr", "pwd", "/usr\n"),
        (
            "builtin() { :; }; cd /usr",
            "pwd; type -t builtin; cd /",
            "/usr\nbuiltin\n",
        ),
        ("exec 2>&- 1>&-; cd /usr", "pwd", "/usr\n"),
        ("set -n", "echo works", "works\n"),
        (
            "PS4='$(echo x >&2)'; set -x",
            "{ set +x; } 2>/dev/null; echo works",
            "works\n",
        ),
        ("set -o history -o histexpand", "echo works", "works\n"),
        ("set -a -k -m -o functrace", "echo works", "works\n"),
    ] {
        let (text, code) = bash(&sandboxd, set);
        assert!(
            code < 2 && (text.is_empty() || code == 1 || set.contains("set -")),
            "{set}: {code} {text}"
        );
        let (text, _) = bash(&sandboxd, check);
        assert_eq!(text, expected, "{set}, then {check}");
        assert_eq!(sandboxd.delete_session("s").0, 200);
    }
}

#[test]
fn programs_get_exported_functions() {
    let sandboxd = Sandboxd::start();
    let script = "my-f() { echo \"exported $1\"; }; own() { :; }; export -f my-f";
    assert_eq!(bash(&sandboxd, script).1, 0);
    let argv = ["env", "bash", "-c", "my-f one; type -t own"];
    assert_eq!(sandboxd.run_in("s", &argv), ("exported one\n".into(), 1));
    assert_eq!(bash(&sandboxd, "export -n -f my-f"), (String::new(), 0));
    let (text, _) = sandboxd.run_in("s", &argv);
    assert_eq!(text, "bash: line 1: my-f: command not found\n");
}

#[test]
fn what_cannot_be_restored_is_named_once() {
    let sandboxd = Sandboxd::start();
    assert_eq!(
        bash(
            &sandboxd,
            "builtin() { command builtin \"$@\"; }; A=1; f() { echo f; }"
        )
        .1,
        0
    );
    let (text, code) = bash(&sandboxd, "echo $A; f");
    let expected = "1\nf\nsession s: the shell could not restore function builtin\n";
    assert_eq!((text.as_str(), code), (expected, 0));
    assert_eq!(bash(&sandboxd, "echo $A; f"), ("1\nf\n".into(), 0));
}

#[test]
fn a_script_is_what_the_client_sent() {
    let sandboxd = Sandboxd::start();
    assert_eq!(
        bash(&sandboxd, "alias hi='echo hello'; A=1; set -o pipefail"),
        (String::new(), 0)
    );
    let (text, code) = bash(&sandboxd, "echo ) x");
    let expected = "bash: -c: line 1: syntax error near unexpected token `)'\nbash: -c: line 1: `echo ) x'\n";
    assert_eq!((text.as_str(), code), (expected, 2));
    // As long as the kernel allows for an argument.
    for (shell, length) in [
        ("bash", 131_071),
        ("bash", 131_040),
        ("sh", 131_071),
        ("sh", 131_040),
    ] {
        let script = format!("echo {}", "x".repeat(length - 5));
        let output = sandboxd.exec_in("s", &json!({"argv": [shell, "-c", script]}));
        assert_eq!(
            (output.stdout().len(), output.code()),
            (length - 4, 0),
            "{shell} {}",
            output.stderr()
        );
    }
    for option in ["-p", "--posix", "-i"] {
        let argv = ["bash", option, "-c", "hi $0 $1 $A; cd /usr", "zero", "one"];
        let output = sandboxd.exec_in("s", &json!({ "argv": argv }));
        assert_eq!(
            (output.text().as_str(), output.code()),
            ("hello zero one 1\n", 0),
            "{option}"
        );
        assert_eq!(sandboxd.run_in("s", &["pwd"]).0, "/usr\n");
        assert_eq!(sandboxd.run_in("s", &["cd", "/"]).1, 0);
    }
    let posix = json!({"argv": ["bash", "-c", "shopt -qo posix && env | grep POSIX; echo $BASH_ENV"], "env": {"POSIXLY_CORRECT": "x"}});
    assert_eq!(sandboxd.exec_in("s", &posix).text(), "POSIXLY_CORRECT=x\n\n");
    let file = sandboxd.workspace.path().join("env");
    fs::write(&file, "echo read $A\n").unwrap();
    let own = json!({"argv": ["bash", "-c", "echo $A ${BASH_ENV##*/}"], "env": {"BASH_ENV": file}});
    assert_eq!(sandboxd.exec_in("s", &own).text(), "read\n1 env\n");
}

#[test]
fn a_limit_on_the_size_of_files_ends_nothing() {
    let sandboxd = Sandboxd::start();
    for shell in ["bash", "sh"] {
        let output = sandboxd.exec_in(
            "s",
            &json!({"argv": [shell, "-c", "ulimit -f 0; cd /usr; echo hi"]}),
        );
        assert_eq!((output.text().as_str(), output.code()), ("hi\n", 0), "{shell}");
        let told = "session: the shell could not write its state: it is not kept\n";
        assert_eq!(output.stderr(), told);
        assert_ne!(sandboxd.run_in("s", &["pwd"]).0, "/usr\n");
    }
}

#[test]
fn the_mask_of_new_files_holds_for_all_programs() {
    let sandboxd = Sandboxd::start();
    let modes = |names: &[&str]| sandboxd.run_in("s", &[&["stat", "-c", "%a"], names].concat()).0;
    assert_eq!(sandboxd.run_in("s", &["umask", "077"]), (String::new(), 0));
    for argv in [
        &["touch", "a"][..],
        &["sh", "-c", "touch b"],
        &["bash", "-c", "touch c"],
        &["mkdir", "d"],
    ] {
        assert_eq!(sandboxd.run_in("s", argv).1, 0);
    }
    let mut terminal = Terminal::open(&sandboxd, "session=s");
    terminal.send("touch e; umask 007\n");
    assert_eq!(terminal.finish().code(), 0);
    assert_eq!(modes(&["a", "b", "c", "d", "e"]), "600\n600\n600\n700\n600\n");
    assert_eq!(
        sandboxd.run_in("s", &["sh", "-c", "umask; umask 022"]).0,
        "0007\n"
    );
    assert_eq!(sandboxd.run_in("s", &["touch", "f"]).1, 0);
    assert_eq!(modes(&["f"]), "644\n");
}
