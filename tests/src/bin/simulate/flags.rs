//! The command line.

use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;

use crate::options::Options;

/// The text of `--help`.
pub const USAGE: &str = "\
Simulates a deployment: the load of its busiest Sandbox object and of its busiest shard of the index, and the loss
of a region. Fails when an object gets more than its own sandbox's requests, or a shard more than 200 writes a second.

Usage: npm run simulate -- [--sandboxes N] [--creates N] [--requests N] [--lists N] [--seconds N] [--shards N]
                           [--max-sandboxes N] [--labels N] [--skew X] [--seed N] [--tables]

  --sandboxes      sandboxes at a time (10000)
  --creates        creates with settings in a second (1000)
  --requests       requests in a second (50000)
  --lists          lists in a second (10)
  --seconds        seconds to measure (60)
  --shards         INDEX_SHARDS (96)
  --max-sandboxes  MAX_SANDBOXES (12000)
  --labels         labels of each sandbox (2)
  --skew           the exponent of Zipf's law, by which requests go to sandboxes (0.8)
  --seed           the seed of the random numbers (1)
  --tables         prints the tables of docs/scale.md instead";

/// The flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Flags {
    /// The deployment to simulate.
    pub options: Options,
    /// `--tables`
    pub tables: bool,
}

impl Default for Flags {
    fn default() -> Self {
        let options = Options {
            sandboxes: 10_000,
            creates: 1000,
            requests: 50_000,
            lists: 10,
            seconds: 60,
            shards: 96,
            max_sandboxes: 12_000,
            labels: 2,
            skew: 0.8,
            seed: 1,
        };
        Self {
            options,
            tables: false,
        }
    }
}

impl Flags {
    /// Parses the arguments; nothing when they ask for help.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut flags = Self::default();
        let options = &mut flags.options;
        while let Some(argument) = parser.next()? {
            let number = match &argument {
                Long("sandboxes") => &mut options.sandboxes,
                Long("creates") => &mut options.creates,
                Long("requests") => &mut options.requests,
                Long("lists") => &mut options.lists,
                Long("seconds") => &mut options.seconds,
                Long("shards") => &mut options.shards,
                Long("max-sandboxes") => &mut options.max_sandboxes,
                Long("labels") => &mut options.labels,
                Long("skew") => {
                    options.skew = parser.value()?.parse()?;
                    continue;
                }
                Long("seed") => {
                    options.seed = parser.value()?.parse()?;
                    continue;
                }
                Long("tables") => {
                    flags.tables = true;
                    continue;
                }
                Long("help") => return Ok(None),
                Value(value) => return Err(Value(value.clone()).unexpected()),
                _ => return Err(argument.unexpected()),
            };
            *number = parser.value()?.parse()?;
        }
        let Options {
            sandboxes,
            creates,
            seconds,
            shards,
            ..
        } = flags.options;
        if [sandboxes, creates, seconds].contains(&0) || !(1..=256).contains(&shards) {
            return Err("sandboxes, creates and seconds are at least 1, shards are 1 to 256".into());
        }
        Ok(Some(flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_mistakes() {
        let parse = |arguments: &[&str]| Flags::parse(lexopt::Parser::from_args(arguments));
        let flags = parse(&["--shards=16", "--skew", "1.1", "--tables"])
            .unwrap()
            .unwrap();
        assert_eq!(
            (flags.options.shards, flags.options.skew, flags.tables),
            (16, 1.1, true)
        );
        assert_eq!(parse(&[]).unwrap(), Some(Flags::default()));
        assert_eq!(parse(&["--help"]).unwrap(), None);
        for bad in [
            &["--shards", "0"][..],
            &["--shards", "257"],
            &["--creates"],
            &["extra"],
            &["--fast"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
