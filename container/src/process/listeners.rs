//! The TCP sockets that listen in the network of this process.
//!
//! The kernel is asked by its socket diagnostics (`man 7 sock_diag`), which visits the listening
//! sockets alone. `/proc/net/tcp` visits its whole table of connections, however few there are: about
//! 5 ms for each of the two. It is read where the kernel has no diagnostics.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};

use socket2::{Domain, Protocol, Socket, Type};

/// The ports of sockets, by their inodes.
pub type Listeners = HashMap<u64, u16>;

/// The state of a listening socket, as a number and in `/proc/net/tcp`.
const LISTENING: u32 = 10;
const LISTENING_IN_PROC: &str = "0A";

/// The protocol of netlink, and the type of a request, for diagnostics: `NETLINK_SOCK_DIAG`,
/// `SOCK_DIAG_BY_FAMILY`.
const SOCK_DIAG: i32 = 4;
const BY_FAMILY: u16 = 20;

/// The size of the head of a message of netlink, and of a request, in bytes.
const HEAD: usize = 16;
const REQUEST: u32 = HEAD as u32 + 56;

/// The offsets of the port, in network order, and of the inode in `struct inet_diag_msg`.
const PORT: usize = 4;
const INODE: usize = 68;

/// The listening sockets. None of those that cannot be read.
pub fn listeners() -> Listeners {
    let families = [libc::AF_INET, libc::AF_INET6];
    let asked: io::Result<Vec<Listeners>> = families.into_iter().map(ask).collect();
    match asked {
        Ok(found) => found.into_iter().flatten().collect(),
        Err(_) => of_proc(),
    }
}

/// The listening sockets of an address family, by socket diagnostics.
fn ask(family: i32) -> io::Result<Listeners> {
    let protocol = Some(Protocol::from(SOCK_DIAG));
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::DGRAM, protocol)?;
    socket.write_all(&request(family))?;
    let mut found = Listeners::new();
    // A datagram has several messages, each with its length. The kernel's own limit is 32 KiB.
    let mut datagram = vec![0; 64 * 1024];
    loop {
        let length = socket.read(&mut datagram)?;
        let mut rest = datagram.get(..length).unwrap_or_default();
        while let Some((head, _)) = rest.split_at_checked(HEAD) {
            let size = number(head, 0).map_or(0, |size| size as usize);
            let message = rest.get(HEAD..size).ok_or(io::ErrorKind::InvalidData)?;
            match number(head, 4).map(|kind| (kind & 0xffff) as i32) {
                Some(libc::NLMSG_DONE) => return Ok(found),
                Some(libc::NLMSG_ERROR) => return Err(io::ErrorKind::Unsupported.into()),
                _ => found.extend(listener(message)),
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The request for all listening sockets of a family: the head of a message, then `struct
/// inet_diag_req_v2`.
fn request(family: i32) -> Vec<u8> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut request = Vec::new();
    request.extend(REQUEST.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    request.extend((1_u32 << LISTENING).to_ne_bytes());
    request.resize(REQUEST as usize, 0);
    request
}

fn listener(message: &[u8]) -> Option<(u64, u16)> {
    let port = message.get(PORT..PORT + 2)?.try_into().ok()?;
    Some((number(message, INODE)?.into(), u16::from_be_bytes(port)))
}

/// The number of four bytes at an offset.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

fn of_proc() -> Listeners {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let tables = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    tables
        .iter()
        .flat_map(|table| table.lines().filter_map(of_line))
        .collect()
}

/// The inode and the port of a line of `/proc/net/tcp`, if the socket listens.
pub fn of_line(line: &str) -> Option<(u64, u16)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTENING_IN_PROC {
        return None;
    }
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    Some((fields.nth(5)?.parse().ok()?, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_line_of_proc_names_port_and_inode() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0"
            )
        };
        assert_eq!(of_line(&line("0A")), Some((12345, 8080)));
        assert_eq!(of_line(&line("01")), None);
        assert_eq!(of_line("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn both_ways_find_the_same_listeners() {
        let addresses = ["127.0.0.1:0", "[::1]:0"];
        // More than one datagram.
        let own: Vec<_> = (0..600)
            .filter_map(|i| TcpListener::bind(addresses[i % 2]).ok())
            .collect();
        let asked = [libc::AF_INET, libc::AF_INET6].map(|family| ask(family).unwrap());
        let asked: Listeners = asked.into_iter().flatten().collect();
        let read = of_proc();
        for listener in own {
            let port = listener.local_addr().unwrap().port();
            let has = |found: &Listeners| found.values().any(|other| *other == port);
            assert!(has(&asked) && has(&read), "{port}");
        }
        let both = asked.iter().filter(|(inode, port)| read.get(inode) == Some(port));
        assert!(both.count() >= 300, "the inodes are the same");
    }
}
