//! A store of snapshots that fails when a test says so: a proxy before a real S3 server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use sandbar_test_s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use tokio::net::TcpListener;

/// A fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer is an error.
    Error,
    /// The body of the answer breaks off.
    Cut,
    /// The answer takes 60 ms.
    Slow,
    /// The answer takes a second.
    Late,
    /// There is no answer.
    Hang,
}

/// The bucket of the snapshots.
const BUCKET: &str = "saves";

/// The requests until the next fault, and the fault. All later requests have it, too.
type Plan = Arc<Mutex<Option<(u32, Fault)>>>;

pub struct FaultyStore {
    port: String,
    plan: Plan,
    server: S3Server,
}

#[derive(Clone)]
struct Proxy {
    upstream: u16,
    plan: Plan,
    client: reqwest::Client,
}

impl FaultyStore {
    pub fn start() -> Self {
        let server = S3Server::start(&[BUCKET]);
        let plan = Plan::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let proxy = Proxy {
            upstream: server.port,
            plan: plan.clone(),
            client: reqwest::Client::new(),
        };
        let app = Router::new().fallback(forward).with_state(proxy);
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await
        });
        Self { port, plan, server }
    }

    /// The variables of a bridge that uses it.
    pub fn vars(&self) -> [(&'static str, &str); 4] {
        // Leaked: a few bytes for each test.
        let endpoint = Box::leak(format!("http://127.0.0.1:{}", self.port).into_boxed_str());
        [
            ("SNAPSHOT_BUCKET", BUCKET),
            ("SNAPSHOT_ENDPOINT", endpoint),
            ("SNAPSHOT_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("SNAPSHOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ]
    }

    /// Fails all requests but the first `requests`.
    pub fn break_at(&self, requests: u32, fault: Fault) {
        *self.plan.lock().unwrap() = Some((requests, fault));
    }

    /// The keys of the objects below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let keys = self.server.keys(BUCKET);
        keys.into_iter().filter(|key| key.starts_with(prefix)).collect()
    }

    /// Fails no more.
    pub fn heal(&self) {
        *self.plan.lock().unwrap() = None;
    }
}

impl Proxy {
    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        match &mut *plan {
            Some((0, fault)) => Some(*fault),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let fault = proxy.next_fault();
    let (parts, body) = request.into_parts();
    // Read in any case: a client that still sends would not see the answer.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match fault {
        Some(Fault::Error) => {
            let text = "<Error><Code>InternalError</Code></Error>";
            return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(60)).await,
        Some(Fault::Late) => tokio::time::sleep(Duration::from_secs(1)).await,
        _ => {}
    }
    let url = format!("http://127.0.0.1:{}{}", proxy.upstream, parts.uri);
    let sent = proxy
        .client
        .request(parts.method, url)
        .headers(parts.headers)
        .body(body);
    let Ok(answer) = sent.send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap_or_default();
    let body = match fault {
        Some(Fault::Cut) => {
            let part = bytes.slice(..bytes.len() / 2);
            let broken = Err(std::io::Error::other("cut"));
            Body::from_stream(stream::iter([Ok::<Bytes, _>(part), broken]))
        }
        _ => Body::from(bytes),
    };
    (status, headers, body).into_response()
}
