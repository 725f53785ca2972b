//! Exposed ports, and visits to them as a browser makes them: without the key, by the host's name.

use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http;

use crate::Sandbox;
use crate::process::ok;

/// An exposed port of a sandbox.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The answer that exposed it.
    pub answer: Value,
    /// The URL of the bridge. The names of previews need not resolve here.
    bridge_url: String,
    /// Host and port in the address.
    pub authority: String,
}

impl Sandbox {
    /// Exposes a port.
    pub async fn expose(&self, port: u16, body: &Value) -> Preview {
        let request = self.request(Method::PUT, &format!("/port/{port}")).json(body);
        let answer = ok(request.send().await.expect("an answer")).await;
        let url = answer["url"].as_str().expect("an address");
        let authority = url.split('/').nth(2).expect("a host").to_owned();
        Preview {
            bridge_url: self.client.bridge.url.clone(),
            authority,
            answer,
        }
    }

    /// Stops exposing a port.
    pub async fn unexpose(&self, port: u16) {
        let request = self.request(Method::DELETE, &format!("/port/{port}"));
        assert_eq!(request.send().await.expect("an answer").status(), 204);
    }
}

impl Preview {
    /// The preview at another address of the same bridge.
    pub fn at(&self, authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            ..self.clone()
        }
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.answer["token"].as_str().expect("a token")
    }

    /// A request without a key; `target` begins with a slash.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .build()
            .expect("a client");
        client
            .request(method, format!("{}{target}", self.bridge_url))
            .header("Host", &self.authority)
    }

    /// A `GET`.
    pub async fn get(&self, target: &str) -> Response {
        self.request(Method::GET, target).send().await.expect("an answer")
    }

    /// A request for a WebSocket.
    pub fn upgrade(&self, target: &str) -> http::Request<()> {
        let url = format!("{}{target}", self.bridge_url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a URL");
        let host = self.authority.parse().expect("a header's value");
        request.headers_mut().insert("host", host);
        request
    }
}
