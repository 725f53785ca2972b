//! No trap may cost a script its state.

use std::fs;

use crate::support::Sandboxd;

fn bash(sandboxd: &Sandboxd, script: &str) -> (String, i32) {
    sandboxd.run_in("s", &["bash", "-c", script])
}

#[test]
fn the_state_is_kept_whatever_a_script_does_with_traps() {
    let sandboxd = Sandboxd::start();
    fs::write(
        sandboxd.workspace.path().join("lib"),
        "trap 'echo sourced' EXIT\n",
    )
    .unwrap();
    let workspace = sandboxd.workspace.path().to_str().unwrap();
    let listed = "trap 'echo its' EXIT; trap 'x=1' INT; trap; trap - 0; trap; cd /tmp";
    let (text, _) = sandboxd.run_in("s", &["sh", "-c", listed]);
    assert_eq!(
        text,
        "trap -- 'echo its' EXIT\ntrap -- 'x=1' INT\ntrap -- 'x=1' INT\n"
    );
    assert_eq!(
        bash(
            &sandboxd,
            "f() { trap 'echo returned' RETURN; }; f; shopt -s extdebug"
        )
        .0,
        "returned\n"
    );
    assert_eq!(bash(&sandboxd, "pwd; cd /"), ("/tmp\n".into(), 0));
    for shell in ["bash", "sh"] {
        for (script, text, code) in [
            ("trap 'echo t' exit; cd /tmp", "t\n", 0),
            ("trap 'echo t' 0; cd /tmp; exit 3", "t\n", 3),
            ("trap 'echo t' EXIT; trap - EXIT; cd /tmp", "", 0),
            ("trap 'echo t' EXIT; trap 0; cd /tmp", "", 0),
            ("trap 'echo t' INT TERM Exit; cd /tmp; false", "t\n", 1),
            ("trap 'exit 7' EXIT; cd /tmp; exit 3", "t\n", 7),
            ("trap \"\" EXIT; cd /tmp", "", 0),
            ("on() { trap 'echo t' EXIT; }; on; cd /tmp", "t\n", 0),
            (
                "set -e; trap 'echo $?' EXIT; cd /tmp; (exit 4); echo no",
                "4\n",
                4,
            ),
            ("f() { cd /tmp; exit 4; }; f", "", 4),
            ("trap 'echo caught' TERM; kill -TERM $$; cd /tmp", "caught\n", 0),
            (". ./lib; cd /tmp", "sourced\n", 0),
            ("eval 'tr''ap \"echo evaluated\" EXIT'; cd /tmp", "evaluated\n", 0),
            ("trap 'cd /tmp; exit 5' TERM; kill -TERM $$; cd /", "", 5),
            ("cd /tmp; (trap 'echo inner' EXIT; cd /)", "inner\n", 0),
        ] {
            if shell == "sh" && script.starts_with("eval") {
                continue;
            }
            let seen = sandboxd.run_in("s", &[shell, "-c", script]);
            let text = if script.contains("'exit 7'") { "" } else { text };
            assert_eq!(seen, (text.to_owned(), code), "{shell}: {script}");
            assert_eq!(sandboxd.run_in("s", &["pwd"]).0, "/tmp\n", "{shell}: {script}");
            assert_eq!(sandboxd.run_in("s", &["cd", workspace]).1, 0);
        }
    }
    for script in [
        "trap 'echo err' ERR; cd /tmp; false; true",
        "trap 'true' DEBUG; cd /tmp",
        "set -T; trap 'true' RETURN DEBUG; f() { cd /tmp; }; f",
        "set -o errexit; trap 'exit 1' ERR; cd /tmp",
        "trap -p; trap 'x=1' USR1; cd /tmp; trap -p USR1 >/dev/null; trap -l >/dev/null",
    ] {
        assert_eq!(sandboxd.delete_session("s").0, 200);
        assert_eq!(bash(&sandboxd, script).1, 0, "{script}");
        assert_eq!(sandboxd.run_in("s", &["pwd"]).0, "/tmp\n", "{script}");
    }
}

#[test]
fn the_state_is_kept_also_when_no_function_or_alias_can_stand_for_trap() {
    let sandboxd = Sandboxd::start();
    for (argv, script, text, code) in [
        (
            &["bash", "-c"][..],
            "builtin trap 'echo t' EXIT; cd /tmp",
            "t\n",
            0,
        ),
        (
            &["bash", "-c"],
            "command trap 'echo t' EXIT; cd /tmp; exit 3",
            "t\n",
            3,
        ),
        (&["bash", "-c"], "cd /tmp; \\trap 'echo t' EXIT", "t\n", 0),
        (&["bash", "-c"], "\"trap\" 'echo t' EXIT; cd /tmp", "t\n", 0),
        (&["bash", "-c"], "builtin trap - EXIT; cd /tmp", "", 0),
        (
            &["bash", "-ec"],
            "f() { builtin trap \"echo '$1' \\$?\" EXIT; }; f 'a b'; cd /tmp; false",
            "a b 1\n",
            1,
        ),
        (
            &["bash", "-c"],
            "builtin trap 'echo t' EXIT\nbuiltin trap -p EXIT; set -- a; builtin trap '' USR1; cd /tmp; echo $1",
            "trap -- 'echo t' EXIT\na\nt\n",
            0,
        ),
        (&["bash", "-pc"], "builtin trap 'echo t' EXIT; cd /tmp", "t\n", 0),
        (
            &["bash", "--posix", "-c"],
            "trap 'echo t' EXIT; cd /tmp; exit 4",
            "t\n",
            4,
        ),
        (
            &["bash", "-c"],
            "set -o posix\ntrap 'echo t' EXIT; cd /tmp",
            "t\n",
            0,
        ),
        (
            &["sh", "-c"],
            "command trap 'echo t' EXIT; cd /tmp; exit 3",
            "t\n",
            3,
        ),
        (
            &["sh", "-c"],
            "command cd /; command trap 'echo t' 0; command cd /tmp",
            "t\n",
            0,
        ),
        (
            &["sh", "-c"],
            "\\trap 'echo t $?' EXIT; cd /tmp; (exit 5)",
            "t 5\n",
            5,
        ),
    ] {
        let argv = [argv, &[script]].concat();
        assert_eq!(sandboxd.run_in("s", &argv), (text.to_owned(), code), "{argv:?}");
        assert_eq!(sandboxd.run_in("s", &["/bin/pwd"]).0, "/tmp\n", "{argv:?}");
        assert_eq!(sandboxd.delete_session("s").0, 200);
    }
    // A function that was defined so is what it was, also in a program of its own.
    let define = "f() { builtin trap 'echo t' EXIT; cd /tmp; }; export -f f";
    assert_eq!(bash(&sandboxd, define), (String::new(), 0));
    assert_eq!(bash(&sandboxd, "bash -c f; cd /usr").0, "t\n");
    let argv = ["env", "bash", "-c", "f; declare -f f | grep trap"];
    let (text, _) = sandboxd.run_in("s", &argv);
    assert_eq!(text, "    builtin trap 'echo t' EXIT;\nt\n");
    assert_eq!(bash(&sandboxd, "pwd; f; exit 6"), ("/usr\nt\n".into(), 6));
    assert_eq!(bash(&sandboxd, "pwd").0, "/tmp\n");
}
