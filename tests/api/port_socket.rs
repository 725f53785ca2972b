//! WebSockets of the servers of a sandbox.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::client::assert_error;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::port::{Server, free_port};
use crate::{eventually, sandbox};

/// The timeout for anything that should happen.
const TIMEOUT: Duration = Duration::from_secs(30);

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A request for a WebSocket of a sandbox, with the key; `rest` begins with a slash.
pub fn upgrade(sandbox: &Sandbox, rest: &str) -> http::Request<()> {
    let bridge = &sandbox.client.bridge;
    let url = format!(
        "{}/v1/sandbox/{}{rest}",
        bridge.url.replacen("http", "ws", 1),
        sandbox.id
    );
    let mut request = url.into_client_request().expect("a URL");
    let key = format!("Bearer {}", bridge.key)
        .parse()
        .expect("a header's value");
    request.headers_mut().insert("authorization", key);
    request
}

/// Connects. The error has the answer that is no upgrade.
pub async fn connect(
    request: http::Request<()>,
) -> Result<(Socket, http::Response<Option<Vec<u8>>>), tungstenite::Error> {
    let connected = tokio_tungstenite::connect_async_with_config(request, None, true);
    timeout(TIMEOUT, connected).await.expect("an answer")
}

/// Asserts that a request for a WebSocket gets this error in place of the upgrade.
pub async fn assert_refused(sandbox: &Sandbox, rest: &str, status: u16, code: &str) {
    let request = sandbox
        .request(Method::GET, rest)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_error(request.send().await.expect("an answer"), status, code).await;
}

/// The next frame that is neither ping nor pong; `None` at the end of the connection.
pub async fn frame(socket: &mut Socket) -> Option<Message> {
    loop {
        match timeout(TIMEOUT, socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => return other.and_then(Result::ok),
        }
    }
}

#[tokio::test]
async fn a_websocket_of_the_server_carries_frames_of_any_size_both_ways() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let mut request = upgrade(&sandbox, &format!("/port/{}/socket/a%2Fb?c=d", server.port));
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "own, other".parse().unwrap());
    let (mut socket, response) = connect(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "own");
    let first = frame(&mut socket).await.unwrap();
    let seen: Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
    assert_eq!(
        (&seen["target"], &seen["host"]),
        (
            &json!("/socket/a%2Fb?c=d"),
            &json!(format!("localhost:{}", server.port))
        )
    );
    for number in 0..200 {
        let text = Message::text(format!("frame {number}"));
        socket.send(text.clone()).await.unwrap();
        assert_eq!(frame(&mut socket).await, Some(text));
    }
    for size in [0, 1, 125, 126, 65_535, 65_536, 900_000] {
        let bytes: Vec<u8> = (0..=255).cycle().take(size).collect();
        socket.send(Message::binary(bytes.clone())).await.unwrap();
        assert_eq!(frame(&mut socket).await, Some(Message::binary(bytes)), "{size}");
    }
    socket.send(Message::text("close")).await.unwrap();
    match frame(&mut socket).await {
        Some(Message::Close(Some(close))) => {
            assert_eq!((u16::from(close.code), close.reason.as_str()), (4321, "bye"));
        }
        other => panic!("{other:?}"),
    }
    sandbox.destroy().await;
}

/// Sends a text to each socket, at the same time, and reads it back.
async fn echo_all(sockets: &mut [Socket]) {
    let echoes = sockets.iter_mut().enumerate().map(async |(number, socket)| {
        let text = Message::text(format!("frame {number}"));
        socket.send(text.clone()).await.unwrap();
        assert_eq!(frame(socket).await, Some(text));
    });
    join_all(echoes).await;
}

#[tokio::test]
async fn a_thousand_websockets_are_open_while_commands_run() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let rest = format!("/port/{}/socket", server.port);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let opening = (0..50).map(async |_| {
            let (mut socket, _) = connect(upgrade(&sandbox, &rest)).await.unwrap();
            assert!(frame(&mut socket).await.is_some());
            socket
        });
        sockets.extend(join_all(opening).await);
    }
    let commands = async {
        for number in 0..20 {
            let printed = timeout(TIMEOUT, sandbox.sh(&format!("echo {number}"))).await;
            assert_eq!(printed.expect("in time").text(), format!("{number}\n"));
        }
    };
    tokio::join!(commands, echo_all(&mut sockets));
    assert_eq!(server.get("/x").await.status(), 200);
    echo_all(&mut sockets).await;
    drop(sockets);
    assert_eq!(sandbox.sh("true").await.code(), 0);
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_client_of_a_websocket_that_leaves_is_noticed_by_the_server() {
    let sandbox = sandbox().await;
    let server = Server::start(&sandbox, "127.0.0.1").await;
    let rest = format!("/port/{}/socket", server.port);
    let (mut closing, _) = connect(upgrade(&sandbox, &rest)).await.unwrap();
    assert!(frame(&mut closing).await.is_some());
    closing.close(None).await.unwrap();
    eventually("the server sees the close", || async {
        sandbox.get("workspace/closed-socket").await.status() == 200
    })
    .await;
    let (mut leaving, _) = connect(upgrade(&sandbox, &rest)).await.unwrap();
    assert!(frame(&mut leaving).await.is_some());
    drop(leaving);
    eventually("the server sees the end", || async {
        sandbox.get("workspace/broken-socket").await.status() == 200
    })
    .await;
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_websocket_that_the_server_refuses_and_one_without_a_server_are_no_upgrade() {
    let sandbox = sandbox().await;
    assert_refused(&sandbox, "/port/3000/", 503, "sandbox_not_running").await;
    assert!(!sandbox.running().await);
    let server = Server::start(&sandbox, "127.0.0.1").await;
    match connect(upgrade(&sandbox, &format!("/port/{}/refuse", server.port))).await {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-reason"]),
                (403, &"no".parse().unwrap())
            );
        }
        other => panic!("{other:?}"),
    }
    let port = free_port(&sandbox).await;
    assert_refused(&sandbox, &format!("/port/{port}/"), 502, "port_not_listening").await;
    sandbox.destroy().await;
}
