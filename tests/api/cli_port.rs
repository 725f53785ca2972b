//! The command line: ports.

use std::process::Stdio;
use std::time::Duration;

use sandbar_tests::Sandbox;
use sandbar_tests::command_line::{command, run, run_with};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::timeout;

use crate::port::{Server, free_port};
use crate::{bridge, sandbox};

/// Answers with the number of bytes once the client has ended its own.
const COUNTER: &str = r#"
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
print("port", server.getsockname()[1], flush=True)
def count(connection):
    total = 0
    connection.sendall(b"hello\n")
    while data := connection.recv(1 << 16):
        total += len(data)
    connection.sendall(b"%d bytes" % total)
    connection.close()
while True:
    threading.Thread(target=count, args=(server.accept()[0],), daemon=True).start()
"#;

/// Forwards a port of this machine, which it returns.
async fn forward(sandbox: &Sandbox, port: u16) -> (Child, u16) {
    let ports = format!("0:{port}");
    let mut child = command(bridge(), &["port", &sandbox.id, &ports])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    // sandbar: 127.0.0.1:12345 is port 80 of the sandbox
    let local = line
        .split(' ')
        .nth(1)
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, local)
}

#[tokio::test]
async fn connections_are_forwarded_at_the_same_time_with_their_half_closes() {
    let sandbox = sandbox().await;
    let server = Server::run(&sandbox, &["python3", "-c", COUNTER]).await;
    let (mut child, local) = forward(&sandbox, server.port).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
        let mut greeting = [0; 6];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hello\n");
        streams.push(stream);
    }
    let counts = streams.into_iter().enumerate().map(async |(i, mut stream)| {
        let size = 1_000_000 * (i + 1);
        stream.write_all(&vec![7; size]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, format!("{size} bytes"));
    });
    futures_util::future::join_all(counts).await;
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().await.unwrap();
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_port_on_which_nothing_listens_resets_the_connection() {
    let sandbox = sandbox().await;
    let port = free_port(&sandbox).await;
    let (mut child, local) = forward(&sandbox, port).await;
    let mut stream = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
    assert!(stream.read(&mut [0; 1]).await.is_err());
    child.kill().await.unwrap();
    let ran = run(bridge(), &["port", &sandbox.id, &port.to_string(), "--stdio"]).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    sandbox.destroy().await;
}

#[tokio::test]
async fn stdio_is_one_connection() {
    let sandbox = sandbox().await;
    let server = Server::run(&sandbox, &["python3", "-c", COUNTER]).await;
    let stdio = command(
        bridge(),
        &["port", &sandbox.id, &server.port.to_string(), "--stdio"],
    );
    let ran = run_with(stdio, &bridge().key, Some(vec![1; 3_000_000])).await;
    assert_eq!(ran.text(), "hello\n3000000 bytes");
    sandbox.destroy().await;
}

#[tokio::test]
async fn the_server_ends_stdio_although_the_input_goes_on() {
    let sandbox = sandbox().await;
    let script = "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n\
                  print('port', server.getsockname()[1], flush=True)\n\
                  while True: connection = server.accept()[0]; connection.sendall(b'bye'); connection.close()";
    let server = Server::run(&sandbox, &["python3", "-c", script]).await;
    let mut stdio = command(
        bridge(),
        &["port", &sandbox.id, &server.port.to_string(), "--stdio"],
    );
    let mut child = stdio
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let output = timeout(Duration::from_secs(30), child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"bye".to_vec()));
    drop(input);
    sandbox.destroy().await;
}
