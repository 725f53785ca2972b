//! A key among the arguments is in the list of processes, which every user of a machine can read.
//! Variables are not: a program that got `--key` starts itself again with the variable.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::arguments::{Arguments, KEY_VARIABLE};

/// Replaces this process by one with the key in its environment, if it has it among its arguments.
/// Returns if there is nothing to hide, or if the program cannot be started again.
pub fn from_process_list(arguments: &Arguments) {
    let Some(key) = &arguments.key else {
        return;
    };
    let mut all = std::env::args_os();
    let name = all.next().unwrap_or_default();
    if let Ok(program) = std::env::current_exe() {
        // Returns only if it fails.
        let _ = Command::new(program)
            .arg0(name)
            .args(without_key(all))
            .env(KEY_VARIABLE, key)
            .exec();
    }
}

/// The arguments without `--key`, which stands in front of the command.
fn without_key(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all = all.peekable();
    let mut kept = Vec::new();
    while let Some(argument) = all.next_if(|argument| argument.as_encoded_bytes().starts_with(b"-")) {
        if argument == "--key" {
            all.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--key=") {
            let has_value = argument == "--url";
            kept.push(argument);
            kept.extend(has_value.then(|| all.next()).flatten());
        }
    }
    kept.extend(all);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_in_front_of_the_command_goes() {
        for (given, kept) in [
            ("--key k ls", "ls"),
            ("--key=k --url u ls --json", "--url u ls --json"),
            (
                "--url u --key k exec a -- b --key c",
                "--url u exec a -- b --key c",
            ),
            ("exec a --key=k", "exec a --key=k"),
            ("--key --url ls", "ls"),
        ] {
            let given = given.split(' ').map(OsString::from);
            let kept: Vec<OsString> = kept.split(' ').map(OsString::from).collect();
            assert_eq!(without_key(given), kept);
        }
    }
}
