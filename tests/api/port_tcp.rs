//! TCP connections to the servers of a sandbox, over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use sandbar_tests::Bridge;
use sandbar_tests::Client;
use sandbar_tests::client::assert_error;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::port::{Server, addresses, free_port};
use crate::port_socket::{Socket, assert_refused, connect, frame, upgrade};
use crate::{eventually, sandbox};

/// Echoes the bytes of each connection. `limit`: closes after that many; notes the end of its
/// client in a file.
const ECHO: &str = r#"
import socket, sys, threading
server = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
limit = int(sys.argv[2])
print("port", server.getsockname()[1], flush=True)
def echo(connection):
    left = limit
    while left:
        data = connection.recv(min(left, 1 << 16))
        if not data:
            open("client-ended", "w").close()
            break
        left -= len(data)
        connection.sendall(data)
    connection.close()
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"#;

async fn echo(sandbox: &sandbar_tests::Sandbox, address: &str, limit: usize) -> Server {
    Server::run(sandbox, &["python3", "-c", ECHO, address, &limit.to_string()]).await
}

async fn tcp(server: &Server) -> Socket {
    let request = upgrade(&server.sandbox, &format!("/tcp/{}", server.port));
    connect(request).await.expect("a WebSocket").0
}

/// Reads binary frames until there are this many bytes.
async fn read(socket: &mut Socket, size: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < size {
        match frame(socket).await {
            Some(Message::Binary(bytes)) => read.extend_from_slice(&bytes),
            other => panic!("{other:?} after {} bytes", read.len()),
        }
    }
    read
}

#[tokio::test]
async fn ten_mib_come_back_byte_for_byte_from_each_address() {
    let sandbox = sandbox().await;
    for address in addresses(&sandbox).await {
        let server = echo(&sandbox, address, usize::MAX >> 1).await;
        let mut socket = tcp(&server).await;
        for line in ["a\n", "bc\n"] {
            socket.send(Message::binary(line)).await.unwrap();
            assert_eq!(read(&mut socket, line.len()).await, line.as_bytes());
        }
        let bytes: Vec<u8> = (0..=250).cycle().take(10 << 20).collect();
        let (mut sink, mut frames) = socket.split();
        let sending = async {
            for block in bytes.chunks(300_000) {
                sink.send(Message::binary(block.to_vec())).await.unwrap();
            }
        };
        let receiving = async {
            let mut received = Vec::new();
            while received.len() < bytes.len() {
                match timeout(Duration::from_secs(60), frames.next())
                    .await
                    .expect("a frame in time")
                {
                    Some(Ok(Message::Binary(block))) => received.extend_from_slice(&block),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("{other:?} after {} bytes", received.len()),
                }
            }
            received
        };
        let ((), received) = tokio::join!(sending, receiving);
        assert!(received == bytes, "other bytes from {address}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn when_one_side_closes_the_other_is_closed() {
    let sandbox = sandbox().await;
    let server = echo(&sandbox, "127.0.0.1", 5).await;
    let mut socket = tcp(&server).await;
    socket.send(Message::binary("hello")).await.unwrap();
    assert_eq!(read(&mut socket, 5).await, b"hello");
    match frame(&mut socket).await {
        Some(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1000),
        other => panic!("{other:?}"),
    }
    for is_polite in [true, false] {
        let mut socket = tcp(&server).await;
        socket.send(Message::binary("he")).await.unwrap();
        assert_eq!(read(&mut socket, 2).await, b"he");
        if is_polite {
            socket.close(None).await.unwrap();
        }
        drop(socket);
        eventually("the server sees the end of its client", || async {
            sandbox.get("workspace/client-ended").await.status() == 200
        })
        .await;
        sandbox.sh("rm client-ended").await;
    }
    let mut socket = tcp(&server).await;
    socket.send(Message::text("text")).await.unwrap();
    match frame(&mut socket).await {
        Some(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1003),
        other => panic!("{other:?}"),
    }
    sandbox.destroy().await;
}

/// Greets each client and ends its own bytes. Writes what it reads into a file, at the end of that.
const HALF: &str = r#"
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print("port", server.getsockname()[1], flush=True)
while True:
    connection = server.accept()[0]
    connection.sendall(b"hello")
    connection.shutdown(socket.SHUT_WR)
    time.sleep(0.3)
    read = b""
    while data := connection.recv(1 << 16):
        read += data
    open("read", "wb").write(read)
"#;

#[tokio::test]
async fn either_side_can_end_its_bytes_and_still_gets_those_of_the_other() {
    let sandbox = sandbox().await;
    let script = "import socket; s = socket.create_server(('127.0.0.1', 0)); \
        print('port', s.getsockname()[1], flush=True); c = s.accept()[0]; n = 0\n\
        while d := c.recv(1 << 16): n += len(d)\n\
        c.sendall(b'%d bytes, ' % n); c.sendall(b'x' * (4 << 20)); c.close()";
    let counting = Server::run(&sandbox, &["python3", "-c", script]).await;
    let mut socket = tcp(&counting).await;
    for _ in 0..10 {
        socket.send(Message::binary(vec![0; 100_000])).await.unwrap();
    }
    let end = Message::text(r#"{"type":"close_write"}"#);
    socket.send(end).await.unwrap();
    let head = "1000000 bytes, ";
    let answer = read(&mut socket, head.len() + (4 << 20)).await;
    assert_eq!(&answer[..head.len()], head.as_bytes());
    match frame(&mut socket).await {
        Some(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1000),
        other => panic!("{other:?}"),
    }
    let half = Server::run(&sandbox, &["python3", "-c", HALF]).await;
    let mut socket = tcp(&half).await;
    for _ in 0..10 {
        socket.send(Message::binary(vec![b'a'; 50_000])).await.unwrap();
    }
    assert_eq!(read(&mut socket, 5).await, b"hello");
    assert!(matches!(frame(&mut socket).await, Some(Message::Close(_))));
    // Answers the close.
    assert!(frame(&mut socket).await.is_none());
    eventually("the server reads all of it", || async {
        let read = sandbox.get("workspace/read").await;
        read.status() == 200 && read.bytes().await.unwrap().len() == 500_000
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn errors_come_before_the_upgrade() {
    let sandbox = sandbox().await;
    assert_refused(&sandbox, "/tcp/3000", 503, "sandbox_not_running").await;
    assert!(!sandbox.running().await);
    let port = free_port(&sandbox).await;
    assert_refused(&sandbox, &format!("/tcp/{port}"), 502, "port_not_listening").await;
    for wrong in ["28671", "0", "x"] {
        assert_refused(&sandbox, &format!("/tcp/{wrong}"), 400, "invalid_request").await;
    }
    let plain = sandbox.request(Method::GET, &format!("/tcp/{port}")).send().await;
    assert_error(plain.unwrap(), 400, "invalid_request").await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_open_connection_keeps_its_sandbox_awake() {
    let bridge = Bridge::start(&[("SANDBOX_SLEEP_AFTER", "2s")]);
    let sandbox = Client::new(&bridge).create().await;
    let body = serde_json::json!({
        "argv": ["python3", "-c", ECHO, "127.0.0.1", "1000000"], "keep_awake": false, "id": "echo",
    });
    let process = sandbox.start(&body).await;
    let wait = serde_json::json!({ "for": "log", "pattern": r"port \d+\n", "timeout_ms": 60_000 });
    let printed = process.wait(&wait).await;
    let port = printed["match"].as_str().unwrap().trim()[5..].parse().unwrap();
    let server = Server {
        sandbox: sandbox.clone(),
        port,
    };
    let mut socket = tcp(&server).await;
    sleep(Duration::from_millis(6500)).await;
    socket.send(Message::binary("still here")).await.unwrap();
    assert_eq!(read(&mut socket, 10).await, b"still here");
    drop(socket);
    eventually("it sleeps without a visitor", || async {
        sleep(Duration::from_millis(300)).await;
        !sandbox.running().await
    })
    .await;
    sandbox.destroy().await;
}
