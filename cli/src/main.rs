//! `sandbar`, the command line of Sandbar.
//!
//! [`arguments`] has the commands, `command/` one file for each. They send requests by [`http`], read
//! streams by [`follow`], and open WebSockets by [`socket`]. [`attached`] runs a command of `exec`.

mod arguments;
mod attached;
mod command;
mod error;
mod events;
mod follow;
mod hide_key;
mod http;
mod input;
mod output;
mod progress;
mod settings;
mod signals;
mod socket;
mod stdin;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::arguments::Arguments;
use crate::error::{Error, printable};

/// The exit code of an error of the program itself.
const FAILED: u8 = 1;

/// The same where the exit code of a command has to be told from it.
const COULD_NOT_RUN: u8 = 125;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(explain(&error)),
    };
    hide_key::from_process_list(&arguments);
    let key = arguments.key();
    let failure = if arguments.command.runs_commands() {
        COULD_NOT_RUN
    } else {
        FAILED
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = runtime.map_err(Error::io("the runtime")).and_then(|runtime| {
        let result = runtime.block_on(command::run(arguments));
        // Does not wait for a thread that reads the standard input.
        runtime.shutdown_background();
        result
    });
    let code = match result {
        Ok(code) => code,
        Err(Error::Signal(number)) => u8::try_from(128 + number).unwrap_or(failure),
        // As a program that SIGPIPE ends.
        Err(error) if error.is_broken_pipe() => 141,
        Err(error) => {
            let text = error.to_string();
            // No error has the key in it. This holds for the text of a server, too.
            output::note(&key.map_or_else(|| text.clone(), |key| text.replace(&key, "…")));
            failure
        }
    };
    std::process::exit(code.into())
}

/// Prints the help that was asked for, or what is wrong with the arguments as one line.
fn explain(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return 0;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        output::note("a command is missing; sandbar --help has the list");
        return FAILED;
    }
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let line = lines.collect::<Vec<_>>().join(" ");
    output::note(&format!(
        "{}; --help has the options",
        printable(line.trim_start_matches("error: "))
    ));
    match command_name().as_deref() {
        Some("run" | "exec" | "sh") => COULD_NOT_RUN,
        _ => FAILED,
    }
}

/// The command among arguments that are wrong.
fn command_name() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--url" || argument == "--key" {
            arguments.next();
        } else if !argument.starts_with('-') {
            return Some(argument);
        }
    }
    None
}
