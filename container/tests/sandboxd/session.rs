//! The state that a session keeps between commands.

use std::fs;

use serde_json::json;

use crate::support::Sandboxd;

/// Runs each command line in a session: `(argv, what it writes, exit code)`.
fn runs(sandboxd: &Sandboxd, session: &str, lines: &[(&[&str], &str, i32)]) {
    for (argv, text, code) in lines {
        let text = text.replace("WORKSPACE", sandboxd.workspace.path().to_str().unwrap());
        assert_eq!(sandboxd.run_in(session, argv), (text, *code), "{argv:?}");
    }
}

#[test]
fn builtins_on_their_own_count() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.workspace.path().join("src")).unwrap();
    runs(
        &sandboxd,
        "s",
        &[
            (&["cd", "src"], "", 0),
            (&["pwd"], "WORKSPACE/src\n", 0),
            (&["export", "A=b c"], "", 0),
            (&["printenv", "A"], "b c\n", 0),
            (&["sh", "-c", "pwd; echo $A"], "WORKSPACE/src\nb c\n", 0),
            (&["cd", "-"], "WORKSPACE\n", 0),
            (&["cd", "-"], "WORKSPACE/src\n", 0),
            (&["unset", "A"], "", 0),
            (&["printenv", "A"], "", 1),
            (&["unset", "HOME"], "", 0),
            (&["printenv", "HOME"], "", 1),
            (&["cd", "/usr/bin"], "", 0),
            (&["pwd"], "/usr/bin\n", 0),
            (
                &["cd", "nowhere"],
                "bash: line 1: cd: nowhere: No such file or directory\n",
                1,
            ),
            (&["pwd"], "/usr/bin\n", 0),
            (&["exit", "3"], "", 3),
            (&["pwd"], "/usr/bin\n", 0),
        ],
    );
    // Others have nothing of it.
    runs(&sandboxd, "other", &[(&["pwd"], "WORKSPACE\n", 0)]);
    assert_eq!(
        sandboxd.exec(&json!({"argv": ["pwd"]})).text().trim_end(),
        sandboxd.workspace.path().to_str().unwrap()
    );
}

#[test]
fn scripts_of_any_shell_count() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.workspace.path().join("src")).unwrap();
    runs(
        &sandboxd,
        "s",
        &[
            (&["sh", "-lc", "cd src && export A=b"], "", 0),
            (&["sh", "-lc", "pwd; echo $A"], "WORKSPACE/src\nb\n", 0),
            (
                &["bash", "-lc", "pwd; echo $A; cd /tmp; export A=\"$A\n'c\""],
                "WORKSPACE/src\nb\n",
                0,
            ),
            (&["sh", "-c", "pwd; echo \"$A\"; unset A"], "/tmp\nb\n'c\n", 0),
            (
                &["bash", "-euo", "pipefail", "-c", "echo ${A-none}; cd /"],
                "none\n",
                0,
            ),
            (&["/bin/sh", "-c", "exit 3"], "", 3),
            (&["sh", "-c", "cd /usr; exit 3"], "", 3),
            (&["bash", "-c", "cd /usr/lib; set -e; false"], "", 1),
            (&["pwd"], "/usr/lib\n", 0),
            (&["bash", "-c", "cd /; f() { cd /usr; exit 4; }; f"], "", 4),
            (&["pwd"], "/usr\n", 0),
            (
                &["bash", "-c", "cd /; if"],
                "bash: -c: line 2: syntax error: unexpected end of file\n",
                2,
            ),
            (&["pwd"], "/usr\n", 0),
        ],
    );
}

#[test]
fn bash_keeps_functions_aliases_variables_and_options() {
    let sandboxd = Sandboxd::start();
    runs(
        &sandboxd,
        "s",
        &[
            (
                &[
                    "bash",
                    "-c",
                    "greet() { echo \"hello $1\"; }; x=\"a\nb\"; list=(1 'two words'); declare -A map=([k]=v); readonly R=1; declare -i n=3",
                ],
                "",
                0,
            ),
            (&["alias", "say=echo said"], "", 0),
            (&["set", "-o", "pipefail"], "", 0),
            (&["shopt", "-s", "extglob"], "", 0),
            // A shell that knows nothing of all this leaves it as it is.
            (&["sh", "-c", "export E=1"], "", 0),
            (
                &[
                    "bash",
                    "-c",
                    "greet you; echo \"$x\" \"${list[1]}\" ${map[k]} $E; n=n+4; echo $n",
                ],
                "hello you\na\nb two words v 1\n7\n",
                0,
            ),
            (&["bash", "-c", "say it"], "said it\n", 0),
            (&["bash", "-c", "false | true"], "", 1),
            (&["bash", "-c", "[[ aab == +(a)b ]] && shopt -q extglob"], "", 0),
            (&["greet", "two words"], "hello two words\n", 0),
            (
                &["bash", "-c", "R=2; echo not reached"],
                "bash: line 1: R: readonly variable\n",
                1,
            ),
            (
                &[
                    "bash",
                    "-c",
                    "unset -f greet; unset x; unalias say; set +o pipefail",
                ],
                "",
                0,
            ),
            (
                &["bash", "-c", "type -t greet say; echo ${x-none}; false | true"],
                "none\n",
                0,
            ),
            (&["printenv", "x"], "", 1),
            (&["bash", "-c", "export x=now"], "", 0),
            (&["printenv", "x"], "now\n", 0),
            (&["bash", "-c", "export -n x; echo $x"], "now\n", 0),
            (&["printenv", "x"], "", 1),
            (&["source", "/dev/null"], "", 0),
            (
                &["bash", "-c", "main() { local inner=1; outer=2; exit; }; main"],
                "",
                0,
            ),
            (&["bash", "-c", "echo ${inner-none} $outer"], "none 2\n", 0),
        ],
    );
}

#[test]
fn every_byte_of_a_variable_is_kept() {
    let sandboxd = Sandboxd::start();
    let all: String = (1..=255).map(|byte| format!("\\{byte:03o}")).collect();
    for (shell, session) in [("bash", "b"), ("sh", "s")] {
        let set = format!("export V=\"$(printf '{all}x')\" N=\"\n\"; V=${{V%x}}");
        assert_eq!(sandboxd.run_in(session, &[shell, "-c", &set]), (String::new(), 0));
        for reader in [
            ["bash", "-c", "printf %s \"$V\""],
            ["sh", "-c", "printf %s \"$V\""],
        ] {
            let output = sandboxd.exec_in(session, &json!({ "argv": reader }));
            assert_eq!(
                output.stdout(),
                (1..=255).collect::<Vec<u8>>(),
                "{shell} {reader:?}"
            );
        }
        let output = sandboxd.exec_in(session, &json!({"argv": ["printenv", "N"]}));
        assert_eq!(output.text(), "\n\n", "{shell}");
    }
}

#[test]
fn a_command_s_own_directory_and_variables_are_its_own() {
    let sandboxd = Sandboxd::start();
    fs::create_dir(sandboxd.workspace.path().join("src")).unwrap();
    runs(
        &sandboxd,
        "s",
        &[(&["bash", "-c", "export A=session; B=plain; cd /usr"], "", 0)],
    );
    for shell in ["sh", "bash"] {
        let body = json!({"argv": [shell, "-c", "echo $A $B; basename $PWD"], "cwd": "src", "env": {"A": "own", "B": "own"}});
        assert_eq!(sandboxd.exec_in("s", &body).text(), "own own\nsrc\n");
        let direct = json!({"argv": ["printenv", "A", "B"], "cwd": "src", "env": {"A": "own", "B": "own"}});
        assert_eq!(sandboxd.exec_in("s", &direct).text(), "own\nown\n");
    }
    runs(
        &sandboxd,
        "s",
        &[
            (&["bash", "-c", "echo $A $B; pwd"], "session plain\n/usr\n", 0),
            (&["printenv", "B"], "", 1),
        ],
    );
    // Its changes to them are kept.
    let body = json!({"argv": ["sh", "-c", "export A=$A+; cd .."], "cwd": "src", "env": {"A": "own"}});
    assert_eq!(sandboxd.exec_in("s", &body).code(), 0);
    runs(
        &sandboxd,
        "s",
        &[(&["sh", "-c", "echo $A; pwd"], "own+\nWORKSPACE\n", 0)],
    );
}

#[test]
fn a_login_profile_does_not_undo_the_session_and_is_not_kept_either() {
    let sandboxd = Sandboxd::start_with(|command| {
        let home = tempfile::tempdir().unwrap().keep();
        fs::write(
            home.join(".profile"),
            "export PATH=/profile:$PATH FROM_PROFILE=1\ncd /\n",
        )
        .unwrap();
        command.env("HOME", home).env("PATH", "/usr/bin:/bin");
    });
    let has = |path: &str, part: &str| path.split(':').any(|one| one == part);
    for shell in ["sh", "bash"] {
        let (path, _) = sandboxd.run_in(shell, &[shell, "-lc", "echo $PATH:$FROM_PROFILE"]);
        assert!(has(&path, "/profile") && path.ends_with(":1\n"), "{path}");
        assert_eq!(sandboxd.run_in(shell, &["printenv", "PATH"]).0, "/usr/bin:/bin\n");
        assert_eq!(
            sandboxd
                .run_in(shell, &["export", "PATH=/session:/usr/bin:/bin"])
                .1,
            0
        );
        let (path, _) = sandboxd.run_in(shell, &[shell, "-lc", "echo $PATH; pwd"]);
        let workspace = sandboxd.workspace.path().to_str().unwrap();
        assert_eq!(path, format!("/session:/usr/bin:/bin\n{workspace}\n"));
        assert_eq!(sandboxd.run_in(shell, &["printenv", "FROM_PROFILE"]).1, 1);
    }
}

#[test]
fn sandboxd_s_own_variables_are_not_kept() {
    let sandboxd = Sandboxd::start();
    let cookie = |session: &str| {
        sandboxd
            .run_in(session, &["bash", "-c", "echo $SANDBOX_EXEC_ID; export A=1"])
            .0
    };
    assert_ne!(cookie("s"), cookie("s"));
    let (names, _) = sandboxd.run_in("s", &["bash", "-c", "set | grep -a ^SANDBOX_"]);
    assert_eq!(names.lines().count(), 1, "{names}");
    let (functions, _) = sandboxd.run_in("s", &["bash", "-c", "declare -F; alias"]);
    assert_eq!(functions, "");
}
