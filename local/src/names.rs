//! The configuration of names in a sandbox that has a network of its own: the machine's, but with the
//! DNS server of slirp4netns, and with `localhost` for both families, as a container has it.

use std::fs;
use std::io;
use std::path::Path;

use crate::slirp::DNS_SERVER;

/// The names of the files, in `/etc` and in a sandbox's directory.
pub const FILES: [&str; 2] = [RESOLV_CONF, HOSTS];

const RESOLV_CONF: &str = "resolv.conf";
const HOSTS: &str = "hosts";

/// Writes the files to a sandbox's directory. A file that the machine does not have counts as empty.
pub fn write(directory: &Path) -> io::Result<()> {
    let of_machine = |name: &str| fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
    fs::write(directory.join(RESOLV_CONF), resolv_conf(&of_machine(RESOLV_CONF)))?;
    fs::write(directory.join(HOSTS), hosts(&of_machine(HOSTS)))
}

/// The search list and the options of the machine, and the one server that a sandbox reaches.
fn resolv_conf(machine: &str) -> String {
    let kept = machine
        .lines()
        .filter(|line| matches!(fields(line).next(), Some("search" | "domain" | "options")));
    let server = format!("nameserver {DNS_SERVER}");
    lines(kept.chain([server.as_str()]))
}

/// The names of the machine, and `localhost` for each family that lacks it.
fn hosts(machine: &str) -> String {
    let is_missing = |address: &str| {
        !machine.lines().any(|line| {
            let mut fields = fields(line);
            fields.next() == Some(address) && fields.any(|name| name == "localhost")
        })
    };
    let missing = ["127.0.0.1", "::1"]
        .into_iter()
        .filter(|address| is_missing(address));
    let missing: Vec<_> = missing.map(|address| format!("{address} localhost")).collect();
    lines(missing.iter().map(String::as_str).chain(machine.lines()))
}

/// The fields of a line, without its comment.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(['#', ';'])
        .next()
        .unwrap_or_default()
        .split_whitespace()
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_of_resolv_conf_are_replaced() {
        let machine =
            "# by a daemon\nnameserver 127.0.0.53\nnameserver ::1\n search corp.example\noptions edns0\n";
        assert_eq!(
            resolv_conf(machine),
            " search corp.example\noptions edns0\nnameserver 10.0.2.3\n"
        );
        assert_eq!(resolv_conf(""), "nameserver 10.0.2.3\n");
    }

    #[test]
    fn localhost_has_both_families_and_other_names_stay() {
        assert_eq!(
            hosts("127.0.0.1\tlocalhost # it\n127.0.1.1 laptop"),
            "::1 localhost\n127.0.0.1\tlocalhost # it\n127.0.1.1 laptop\n"
        );
        let both = "127.0.0.1 localhost\n::1 ip6-localhost localhost\n";
        assert_eq!(hosts(both), both);
        assert_eq!(
            hosts("#127.0.0.1 localhost"),
            "127.0.0.1 localhost\n::1 localhost\n#127.0.0.1 localhost\n"
        );
    }
}
