//! The command line.

use std::env;

use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;
use sandbar_tests::{Bridge, Runtime};

/// The text of `--help`.
pub const USAGE: &str = "\
Measures the bridge and prints a table: what, how often, p50, p95, p99, the limit, and whether it was kept.

Usage: npm run bench -- [--runtime local|container] [--json] [--vs URL] [--only PATTERN] [--quick]

  --runtime  what runs the sandboxes of the bridge that is started: processes of this machine (by default) or
             containers by Docker. With BASE_URL: whose limits hold
  --json     prints JSON instead
  --vs       measures the bridge at URL too, in turns with the first, and prints ratios
  --only     only lines that have PATTERN in their name, in any case; more than once: lines that have one of them
  --quick    a tenth of the samples, and nothing of 1 GiB or of 10,000 calls

Environment:
  BASE_URL            the bridge to measure; without it one is started
  SANDBOX_API_KEY     its key
  SANDBOX_API_KEY_VS  the key of the bridge at --vs; the same by default";

/// The flags.
#[derive(Debug, Default, PartialEq)]
pub struct Flags {
    /// `--runtime`
    pub runtime: Option<Runtime>,
    /// `--json`
    pub json: bool,
    /// `--vs`
    pub vs: Option<String>,
    /// `--only`, in lower case
    pub only: Vec<String>,
    /// `--quick`
    pub quick: bool,
}

impl Flags {
    /// Parses the arguments; nothing when they ask for help.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut flags = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("runtime") => flags.runtime = Some(parser.value()?.parse()?),
                Long("json") => flags.json = true,
                Long("vs") => flags.vs = Some(parser.value()?.parse()?),
                Long("only") => flags.only.push(parser.value()?.parse::<String>()?.to_lowercase()),
                Long("quick") => flags.quick = true,
                Long("help") => return Ok(None),
                Value(value) => return Err(Value(value).unexpected()),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(flags))
    }

    /// Whether a line of this name was asked for.
    pub fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|pattern| name.contains(pattern.as_str()))
    }

    /// The runtime whose limits hold; unknown for a bridge that is only known by its URL.
    pub fn runtime(&self) -> Option<Runtime> {
        match (self.runtime, env::var_os("BASE_URL")) {
            (Some(runtime), _) => Some(runtime),
            (None, Some(_)) => None,
            (None, None) => Some(Runtime::from_env()),
        }
    }

    /// The bridges to measure: the one of the environment, or one started here, and that of `--vs`.
    pub fn bridges(&self) -> Vec<Bridge> {
        let key = env::var("SANDBOX_API_KEY");
        let first = match (env::var_os("BASE_URL"), self.runtime()) {
            (None, Some(runtime)) => Bridge::start_on(runtime, &[]),
            _ => Bridge::from_env(),
        };
        let second = self.vs.as_ref().map(|url| {
            let key = env::var("SANDBOX_API_KEY_VS").or(key);
            Bridge::at(url, key.unwrap_or_else(|_| first.key.clone()))
        });
        [Some(first), second].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Flags>, lexopt::Error> {
        Flags::parse(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn all_of_them() {
        let flags = parse(&[
            "--runtime=container",
            "--json",
            "--vs",
            "http://x",
            "--only",
            "PUT",
            "--only=GET",
            "--quick",
        ]);
        let expected = Flags {
            runtime: Some(Runtime::Container),
            json: true,
            vs: Some("http://x".into()),
            only: vec!["put".into(), "get".into()],
            quick: true,
        };
        assert_eq!(flags.unwrap(), Some(expected));
        assert_eq!(parse(&["--help"]).unwrap(), None);
    }

    #[test]
    fn mistakes() {
        for bad in [
            &["--runtime", "docker"][..],
            &["--vs"],
            &["--fast"],
            &["extra"],
            &["--json=yes"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_matches_parts_of_names() {
        let flags = parse(&["--only", "put", "--only", "PTY"]).unwrap().unwrap();
        assert!(flags.wants("PUT 1 KiB") && flags.wants("machine: pty, echo") && !flags.wants("GET 1 KiB"));
        assert!(Flags::default().wants("anything"));
    }
}
