//! The state of a session is restored however bash is started, and the options of its command line
//! hold.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Sandboxd, Terminal};

/// A home whose profile does what some do: it runs a script of bash, and names a file that bash
/// reads before scripts.
fn sandboxd_with_profile() -> (Sandboxd, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let profile = "echo profile; bash -c 'cd /; true'; export BASH_ENV=~/env FROM_PROFILE=1\n";
    fs::write(home.path().join(".bash_profile"), profile).unwrap();
    fs::write(home.path().join("env"), "echo env\n").unwrap();
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("HOME", home.path());
    });
    (sandboxd, home)
}

#[test]
fn the_state_is_restored_and_kept_however_bash_starts() {
    let (sandboxd, _home) = sandboxd_with_profile();
    let in_s = |argv: &[&str], script: &str, env: Value| {
        let argv = [argv, &[script]].concat();
        let output = sandboxd.exec_in("s", &json!({ "argv": argv, "env": env }));
        assert_eq!(output.code(), 0, "{argv:?} {output:?}");
        (output.text(), output.stderr())
    };
    for (argv, env, before) in [
        (&["bash", "-c"][..], json!({}), ""),
        (&["bash", "-lc"], json!({}), "profile\nenv\n"),
        (&["bash", "--login", "-c"], json!({}), "profile\nenv\n"),
        (&["bash", "--noprofile", "-l", "-c"], json!({}), ""),
        (&["bash", "--posix", "-lc"], json!({}), ""),
        (&["bash", "-lpc"], json!({}), "profile\n"),
        (&["bash", "-pc"], json!({}), ""),
        (&["bash", "-o", "privileged", "-c"], json!({}), ""),
        (&["bash", "-c"], json!({"SHELLOPTS": "posix"}), ""),
        (
            &["bash", "-c"],
            json!({"SHELLOPTS": "privileged:braceexpand"}),
            "",
        ),
        (
            &["bash", "-lc"],
            json!({"SHELLOPTS": "errexit"}),
            "profile\nenv\n",
        ),
        (&["bash", "-lc"], json!({"POSIXLY_CORRECT": "y"}), ""),
    ] {
        let set = "A=1; f() { echo f; }; alias ll='echo alias'; cd /usr";
        assert_eq!(in_s(&["bash", "-c"], set, json!({})).1, "");
        let script = "f\necho $A ${FROM_PROFILE-none}; pwd; cd /usr/bin; A=2; unset -f f";
        let (text, errors) = in_s(argv, script, env.clone());
        let from_profile = if before.is_empty() { "none" } else { "1" };
        let expected = format!("{before}f\n1 {from_profile}\n/usr\n");
        assert_eq!(text, expected, "{argv:?} {env}");
        assert_eq!(errors, "", "{argv:?} {env}");
        let (text, _) = in_s(
            &["bash", "-c"],
            "echo $A ${FROM_PROFILE-none} $BASH_ENV; pwd; type -t f || :",
            json!({}),
        );
        assert_eq!(text, "2 none\n/usr/bin\n", "{argv:?} {env}");
        assert_eq!(sandboxd.delete_session("s").0, 200);
    }
}

#[test]
fn a_shell_starts_as_without_a_session() {
    let (sandboxd, _home) = sandboxd_with_profile();
    let show = "echo $SHELLOPTS $-; declare -p SHELLOPTS; bash -c 'echo $SHELLOPTS'; shopt login_shell";
    for (argv, env) in [
        (&["bash", "-c"][..], json!({"SHELLOPTS": "posix:errexit"})),
        (&["bash", "-c"], json!({"SHELLOPTS": "xtrace:nounset"})),
        (&["bash", "-c"], json!({"SHELLOPTS": "privileged"})),
        (
            &["bash", "+e", "-o", "noglob", "-c"],
            json!({"SHELLOPTS": "errexit:pipefail"}),
        ),
        (&["bash", "-lc"], json!({})),
    ] {
        let argv = [argv, &[show]].concat();
        let body = json!({ "argv": argv, "env": env });
        let (plain, member) = (sandboxd.exec(&body), sandboxd.exec_in("s", &body));
        assert_eq!(member.text(), plain.text(), "{body}");
        assert_eq!(member.stderr(), plain.stderr(), "{body}");
        assert_eq!(member.exit, plain.exit, "{body}");
    }
    let broken = json!({"argv": ["bash", "-lc", "echo ) x"]});
    assert_eq!(
        sandboxd.exec_in("s", &broken).stderr(),
        sandboxd.exec(&broken).stderr()
    );
}

#[test]
fn options_of_a_command_line_hold_for_it_alone() {
    let sandboxd = Sandboxd::start();
    let bash = |argv: &[&str]| {
        let output = sandboxd.exec_in("s", &json!({ "argv": argv }));
        (output.text(), output.stderr(), output.code())
    };
    let set = "set -o nounset -o noglob -o xtrace; set -e +e -o posix +o posix; shopt -s extglob";
    assert_eq!(bash(&["bash", "-c", &format!("{{ {set}; }} 2>/dev/null")]).1, "");
    for (argv, text, code) in [
        (&["bash", "+x", "-c", "echo ${nope-$-}"][..], "fhuBc\n", 0),
        (
            &["bash", "+xuf", "-c", "echo $nope; echo /usr/bi[n]"],
            "\n/usr/bin\n",
            0,
        ),
        (&["bash", "+x", "-ec", "false; echo no"], "", 1),
        (
            &["bash", "+x", "--posix", "-c", "shopt -qo posix && echo posix"],
            "posix\n",
            0,
        ),
        (
            &[
                "bash",
                "+x",
                "+O",
                "extglob",
                "-c",
                "shopt -q extglob || echo off",
            ],
            "off\n",
            0,
        ),
    ] {
        assert_eq!(bash(argv), (text.to_owned(), String::new(), code), "{argv:?}");
    }
    let posix = json!({"argv": ["bash", "+x", "-c", "echo $-"], "env": {"POSIXLY_CORRECT": "y"}});
    let output = sandboxd.exec_in("s", &posix);
    assert_eq!(
        (output.text().as_str(), output.stderr().as_str()),
        ("fhuBc\n", "")
    );
    // None of that is kept, and nothing is forgotten.
    let (text, errors, code) = bash(&["bash", "-c", "echo $-; shopt -q extglob"]);
    assert_eq!((text.as_str(), code), ("fhuxBc\n", 0));
    assert_eq!(errors, "+ echo fhuxBc\n+ shopt -q extglob\n");
}

#[test]
fn a_terminal_in_posix_mode_has_the_state() {
    let sandboxd = Sandboxd::start_with(|command| {
        command.env("SHELLOPTS", "posix:nounset");
    });
    assert_eq!(sandboxd.run_in("s", &["bash", "-c", "A=1; cd /usr"]).1, 0);
    let mut terminal = Terminal::open(&sandboxd, "session=s&mode=shell&shell=bash");
    terminal.send("echo $A$PWD $(set -o | grep -c 'posix.*on')\nB=2\nexit\n");
    terminal.wait_for("1/usr 1");
    assert_eq!(terminal.finish().code(), 0);
    assert_eq!(sandboxd.run_in("s", &["bash", "-c", "echo $B"]).0, "2\n");
}
