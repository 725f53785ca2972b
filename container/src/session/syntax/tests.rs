use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;

use super::*;

fn parsed(printed: &str) -> Vec<(String, Option<String>)> {
    statements(printed.as_bytes())
        .map(|statement| {
            let name = String::from_utf8(statement.name.to_vec()).unwrap();
            (
                name,
                statement.exported().map(|value| value.into_string().unwrap()),
            )
        })
        .collect()
}

#[test]
fn statements_end_where_a_shell_ends_them() {
    let printed = "declare -x A=\"a\nb\\\"\nc\"\nnoise\ndeclare -- B='x\ny'\ndeclare -ax C=([0]=\"1\n2\")\nexport D='it'\\''s\n'\ndeclare -rx E=$'\\'\\n'\ndeclare -x F\n";
    let value = |text: &str| Some(text.to_owned());
    assert_eq!(
        parsed(printed),
        [
            ("A".into(), value("a\nb\"\nc")),
            ("B".into(), None),
            ("C".into(), None),
            ("D".into(), value("it's\n")),
            ("E".into(), value("'\n")),
            ("F".into(), None),
        ]
    );
    let texts: Vec<_> = statements(b"declare -i A=\"\n\"\nexport B")
        .map(|s| s.text.to_vec())
        .collect();
    assert_eq!(texts, [&b"declare -i A=\"\n\""[..], b"export B"]);
}

#[test]
fn statements_without_a_variable_are_left_out() {
    assert_eq!(
        parsed("declare -x\ndeclare -x A-B=\"1\"\ndeclare -x =\"\"\nset -o x\n\n"),
        []
    );
}

/// Every byte, and the special characters of quotes.
fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = (1..=255).map(|byte| vec![b'a', byte, b'7']).collect();
    values.push((1..=255).collect());
    for text in [
        "",
        " ",
        "é€🦀",
        "\u{85}",
        "$HOME `x` \\ \" ' $'a' \\n",
        "\n\n",
        "a=b",
        "\\",
        "'",
        "$'",
    ] {
        values.push(text.into());
    }
    values
}

#[test]
fn shells_print_every_value_so_that_it_reads_back() {
    for (shell, print) in [
        ("bash", "export -p"),
        ("bash", "set -o posix; export -p"),
        ("sh", "export -p"),
    ] {
        for locale in ["C", "C.UTF-8"] {
            let mut command = Command::new(shell);
            command.args(["-c", print]).env("LC_ALL", locale);
            for (i, value) in values().iter().enumerate() {
                command.env(format!("V{i}"), OsStr::from_bytes(value));
            }
            let printed = command.output().unwrap().stdout;
            for (i, value) in values().into_iter().enumerate() {
                let name = format!("V{i}");
                let found = statements(&printed).find(|statement| statement.name == name.as_bytes());
                let exported = found.expect("it is printed").exported().unwrap();
                assert_eq!(exported, OsString::from_vec(value), "{shell} {locale} {print}");
            }
        }
    }
}

#[test]
fn shells_read_what_was_quoted() {
    for shell in ["bash", "sh"] {
        for value in values() {
            let script = [&b"printf %s "[..], &quote(&value)].concat();
            let output = Command::new(shell)
                .arg("-c")
                .arg(OsStr::from_bytes(&script))
                .output()
                .unwrap();
            assert_eq!(output.stdout, value, "{shell}");
        }
    }
}
