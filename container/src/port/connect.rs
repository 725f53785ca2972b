//! Connections to servers of the sandbox.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

use crate::Error;

/// The addresses at which a server is looked for, in order. One that listens on all addresses
/// answers at the first.
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Connects to the server on a port. Error: 502 `port_not_listening` when there is none.
pub async fn connect(port: u16) -> Result<TcpStream, Error> {
    for address in ADDRESSES {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) if is_connected_to_itself(&stream) => {}
            Ok(stream) => {
                // Small pieces are sent at once.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) if is_absent(&e) => {}
            Err(e) => return Err(Error::Port(format!("port {port} cannot be connected to: {e}"))),
        }
    }
    Err(Error::PortNotListening(port))
}

/// Whether nothing listens at an address, or the sandbox does not have it.
fn is_absent(e: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable, Unsupported};
    matches!(
        e.kind(),
        ConnectionRefused | AddrNotAvailable | NetworkUnreachable | Unsupported
    ) || e.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Whether both ends are the same socket: the kernel has chosen, for the client's end, the port that
/// nobody listens on.
fn is_connected_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(other)) if own == other)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_server_is_found_on_either_address() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (stream, accepted) = tokio::join!(connect(port), listener.accept());
            assert_eq!(
                stream.unwrap().local_addr().unwrap(),
                accepted.unwrap().1,
                "{address}"
            );
        }
    }

    #[tokio::test]
    async fn a_port_without_a_server_is_an_error_of_its_own() {
        // Bound, so that no other test gets the port, and without `listen`.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let error = connect(port).await.unwrap_err();
        assert!(
            matches!(error, Error::PortNotListening(other) if other == port),
            "{error}"
        );
    }
}
