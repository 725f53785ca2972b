//! This machine, as a sandbox sees it: where it reaches the servers of a test.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;

use crate::Sandbox;

/// An address of this machine that is not its loopback: what listens there, or on every address, is
/// reached from a sandbox with a network of its own, and from one that shares this machine's.
pub fn address() -> Ipv4Addr {
    // The address that a packet for any other network would be sent from. Nothing is sent.
    let routed = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9))?;
        socket.local_addr()
    });
    if let Ok(IpAddr::V4(address)) = routed.map(|address| address.ip()) {
        return address;
    }
    let all = Command::new("hostname").arg("-I").output().expect("hostname");
    String::from_utf8_lossy(&all.stdout)
        .split_whitespace()
        .find_map(|address| address.parse().ok())
        .expect("an IPv4 address of this machine besides 127.0.0.1")
}

/// This machine's address for a sandbox of this machine.
pub async fn address_for(sandbox: &Sandbox) -> Ipv4Addr {
    if sandbox.client.bridge.is_local {
        return address();
    }
    // The gateway of the default route: hexadecimal, the last byte first.
    let routes = sandbox.sh("cat /proc/net/route").await.text();
    let gateway = routes
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .find_map(|gateway| {
            u32::from_str_radix(gateway, 16)
                .ok()
                .filter(|gateway| *gateway != 0)
        })
        .expect("a gateway");
    Ipv4Addr::from(gateway.to_le_bytes())
}
