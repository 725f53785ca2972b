use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use sandbox_protocol::{Invalid, SandboxId, ServerPort};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{sandbox_id, server_port};
use crate::error::{Error, Result};
use crate::http::Bridge;
use crate::output::note;
use crate::signals::Signals;
use crate::socket::{self, Socket};

/// The bytes of a message.
const BLOCK: usize = 64 * 1024;

/// Forwards a port of this machine to a port of a sandbox
///
/// With --stdio, connects standard input and output with the port instead, for the ProxyCommand of ssh.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sandbar port $id 5432\n  sandbar port $id 8080:80\n  \
    ssh -o 'ProxyCommand=sandbar port ID 2222 --stdio' sandbox"
)]
pub struct Port {
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: SandboxId,
    /// The port of this machine, and that of the sandbox if it is another one. 0:PORT: any free port
    #[arg(value_name = "LOCAL[:REMOTE]", value_parser = ports)]
    ports: (u16, ServerPort),
    /// The address of this machine to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Connects standard input and output with the port
    #[arg(long, conflicts_with = "bind")]
    stdio: bool,
}

fn ports(text: &str) -> std::result::Result<(u16, ServerPort), Invalid> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let local = local
        .parse()
        .map_err(|_| Invalid::request("a port is a number from 0 to 65535"))?;
    Ok((local, server_port(remote)?))
}

impl Port {
    /// Forwards until a signal ends the program.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let (local, remote) = self.ports;
        let path = format!("/tcp/{remote}");
        if self.stdio {
            let socket = socket::open(bridge, &self.id, &path).await?;
            carry(socket, tokio::io::stdin(), tokio::io::stdout()).await?;
            return Ok(0);
        }
        let mut signals = Signals::new()?;
        let address = SocketAddr::new(self.bind, local);
        let listener = TcpListener::bind(address)
            .await
            .map_err(Error::io(address.to_string()))?;
        let address = listener.local_addr().map_err(Error::io("the port"))?;
        note(&format!("{address} is port {remote} of the sandbox"));
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(forward(bridge.clone(), self.id.clone(), path.clone(), stream));
                    }
                    // Too many files are open, for example.
                    Err(error) => {
                        note(&format!("a connection was not accepted: {error}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                signal = signals.next() => return Err(Error::Signal(signal.number)),
            }
        }
    }
}

/// Carries one connection. A client whose connection fails sees it reset, not closed.
async fn forward(bridge: Bridge, sandbox: SandboxId, path: String, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let result = match socket::open(&bridge, &sandbox, &path).await {
        Ok(socket) => {
            let (reader, writer) = stream.split();
            carry(socket, reader, writer).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        note(&error.to_string());
        let _ = stream.set_zero_linger();
    }
}

/// Carries bytes in both directions until the server has closed. The end of the client's bytes is
/// forwarded, and the server can still answer.
async fn carry(
    socket: Socket,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> Result<()> {
    let (mut sink, mut stream) = socket.split();
    let up = async {
        let mut block = vec![0; BLOCK];
        loop {
            match reader.read(&mut block).await {
                Ok(0) => break,
                Ok(length) => {
                    let bytes = block.get(..length).unwrap_or_default().to_vec();
                    if sink.send(Message::binary(bytes)).await.is_err() {
                        break;
                    }
                }
                Err(error) => return Err(Error::io("the client's connection")(error)),
            }
        }
        let _ = sink.send(Message::text(r#"{"type":"close_write"}"#)).await;
        std::future::pending::<Result<()>>().await
    };
    let down = async {
        loop {
            match stream.next().await.transpose().map_err(socket::lost)? {
                Some(Message::Binary(bytes)) => {
                    let written = async {
                        writer.write_all(&bytes).await?;
                        writer.flush().await
                    };
                    written.await.map_err(Error::io("the client's connection"))?;
                }
                Some(Message::Close(Some(frame))) if frame.code == CloseCode::Normal => break,
                Some(Message::Close(frame)) => {
                    let reason = frame
                        .map(|frame| frame.reason.to_string())
                        .filter(|reason| !reason.is_empty());
                    return Err(Error::ConnectionLost(
                        reason.unwrap_or_else(|| "the server's broke".to_owned()),
                    ));
                }
                Some(_) => {}
                None => return Err(Error::ConnectionLost("it ended without a close".to_owned())),
            }
        }
        writer.shutdown().await.or_else(ignore_closed)
    };
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}

/// A client that has closed already needs no close.
fn ignore_closed(error: io::Error) -> Result<()> {
    match error.kind() {
        io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Error::io("the client's connection")(error)),
    }
}
