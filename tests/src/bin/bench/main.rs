//! `npm run bench`: the numbers that the project promises, measured on this machine, beside their
//! limits.
//!
//! [`lines`] is the whole table, [`measure`] has a module for each part of it. Everything that
//! concerns a bridge is measured on each [`side::Side`] in turns; [`series`] keeps every sample.
//! Nothing here fails on a slow machine: a limit that is missed is a word in the table, an error is
//! counted, and what a bridge lacks is "not offered".

mod bench;
mod flags;
mod json;
mod line;
mod lines;
mod machine;
mod measure;
mod report;
mod series;
mod side;
mod sse;
mod time;
mod turns;

use std::process::ExitCode;

use bench::Bench;
use flags::{Flags, USAGE};
use machine::Machine;

// One thread: what the client takes of the machine, the bridge has not.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let flags = match Flags::parse(lexopt::Parser::from_env()) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("bench: {e}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::inspect(flags.runtime());
    eprintln!("{}", machine.line());
    let as_json = flags.json;
    let mut bench = Bench::new(flags);
    if let Err(e) = measure::everything(&mut bench).await {
        eprintln!("bench: the bridge does not work: {e}");
        return ExitCode::FAILURE;
    }
    if as_json {
        println!("{:#}", json::document(&machine, &bench.rows));
    } else {
        println!("{}\n", machine.line());
        report::print(&bench.rows);
    }
    ExitCode::SUCCESS
}
