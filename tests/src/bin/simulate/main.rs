//! `npm run simulate`: a deployment of any size by simulation, with the Worker's own rules for the
//! shards of the index, the permits to run and the pages of the list. docs/scale.md has the result.
//!
//! [`world`] has the sandboxes and their clients, [`index`] the shards, [`capacity`] other numbers of
//! shards, [`region`] the loss of a region. [`table`] and [`sheet`] make the tables of docs/scale.md. Random numbers have a seed: two runs print the same.

mod capacity;
mod flags;
mod index;
mod load;
mod options;
mod price;
mod random;
mod region;
mod report;
mod route;
mod sheet;
mod step;
mod table;
mod usage;
mod world;

use std::process::ExitCode;

use flags::{Flags, USAGE};
use options::Options;
use region::REGIONS;
use report::Report;
use world::World;

fn main() -> ExitCode {
    let flags = match Flags::parse(lexopt::Parser::from_env()) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("simulate: {e}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if flags.tables {
        let tables = [
            table::routes(),
            table::steps(),
            sheet::execs(),
            sheet::one(),
            sheet::sandboxes(),
            sheet::stored(),
        ];
        println!("{}", tables.join("\n\n"));
        return ExitCode::SUCCESS;
    }
    let options = &flags.options;
    println!(
        "{} sandboxes, {} creates/s, {} requests/s, {} lists/s, {} s, seed {}",
        options.sandboxes, options.creates, options.requests, options.lists, options.seconds, options.seed
    );
    let report = simulate(options);
    print!("{}", report.text());
    for broken in report.broken() {
        eprintln!("simulate: {broken}");
    }
    match report.broken().is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn simulate(options: &Options) -> Report {
    let mut report = Report::default();
    let mut world = World::new(options.clone(), REGIONS.map(|(_, part)| part));
    world.warm_up();
    world.run();
    report.add_run(&mut world, options);
    report.add_list(&mut world);
    report.add_capacity(&world, options);
    report.add_loss(&region::lose(options, 0));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tenth of everything.
    fn small() -> Options {
        Options {
            sandboxes: 1000,
            creates: 100,
            requests: 5000,
            lists: 1,
            seconds: 10,
            shards: 16,
            max_sandboxes: 1200,
            ..Flags::default().options
        }
    }

    #[test]
    fn the_promises_hold_and_two_runs_print_the_same() {
        let report = simulate(&small());
        assert!(report.broken().is_empty(), "{:?}", report.broken());
        assert_eq!(report.text(), simulate(&small()).text());
    }

    #[test]
    fn too_few_shards_are_an_error() {
        let options = Options { shards: 2, ..small() };
        let broken = simulate(&options).broken().join("\n");
        assert!(broken.contains("writes in a second, more than 200"), "{broken}");
    }
}
