//! Stands in for Cloudflare's API, which cannot be reached where tests run: tunnels, DNS records
//! and one zone.
//!
//! It refuses what Cloudflare refuses: a wrong token, unknown paths, a tunnel or a DNS record that
//! exists already.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The token that it takes.
pub const TOKEN: &str = "cf-api-token.0123456789";
/// The account that its tunnels are in.
pub const ACCOUNT: &str = "0acc0";
/// The zone that its DNS records are in.
pub const ZONE: &str = "0zone0";
/// The zone's domain.
pub const DOMAIN: &str = "example.com";

/// The API.
#[derive(Debug, Clone)]
pub struct Cloudflare {
    /// The value for `CLOUDFLARE_API_BASE_URL`.
    pub url: String,
    world: Arc<Mutex<World>>,
}

/// The state of the API.
#[derive(Debug, Default)]
struct World {
    tunnels: Vec<Value>,
    records: Vec<Value>,
    last_id: u64,
    /// Requests, as `METHOD /path`.
    calls: Vec<String>,
    /// Requests that begin so fail.
    broken: Option<String>,
}

type Answer = Result<Value, (u16, u32, &'static str)>;

impl Cloudflare {
    /// Serves until this process ends.
    pub fn start() -> Self {
        let world = Arc::<Mutex<World>>::default();
        let served = Arc::clone(&world);
        let (sender, address) = std::sync::mpsc::channel::<SocketAddr>();
        // On a runtime of its own: that of a test ends with the test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a port");
                sender
                    .send(listener.local_addr().expect("an address"))
                    .expect("somebody who waits");
                let router = Router::new().fallback(answer).with_state(served);
                axum::serve(listener, router).await
            })
        });
        let address = address.recv().expect("an address");
        Self {
            url: format!("http://{address}/client/v4"),
            world,
        }
    }

    /// The tunnels called `name`, with their `config` and `id`.
    pub fn tunnels(&self, name: &str) -> Vec<Value> {
        let found = self.world().tunnels.clone().into_iter();
        found.filter(|tunnel| tunnel["name"] == name).collect()
    }

    /// The DNS records of a hostname.
    pub fn records(&self, hostname: &str) -> Vec<Value> {
        let found = self.world().records.clone().into_iter();
        found.filter(|record| record["name"] == hostname).collect()
    }

    /// Puts a DNS record there that somebody else made.
    pub fn add_record(&self, record: Value) {
        self.world().records.push(record);
    }

    /// Makes requests that begin so (`METHOD /path`) fail from now on; `None`: none.
    pub fn fail(&self, beginning: Option<&str>) {
        self.world().broken = beginning.map(str::to_owned);
    }

    /// How many requests had this in their `METHOD /path?query`.
    pub fn calls(&self, part: &str) -> usize {
        self.world()
            .calls
            .iter()
            .filter(|call| call.contains(part))
            .count()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let authorized = headers
        .get("authorization")
        .is_some_and(|value| value.as_bytes() == format!("Bearer {TOKEN}").as_bytes());
    let path = uri.path().strip_prefix("/client/v4").unwrap_or_default();
    let query = uri.query().unwrap_or_default();
    world.calls.push(format!("{method} {path}?{query}"));
    let call = format!("{method} {path}");
    let answer = if !authorized {
        Err((403, 10000, "Authentication error"))
    } else if world
        .broken
        .as_ref()
        .is_some_and(|broken| call.starts_with(broken))
    {
        Err((500, 1, "broken by the test"))
    } else {
        let is_json = headers
            .get("content-type")
            .is_some_and(|kind| kind == "application/json");
        let body = if is_json {
            serde_json::from_slice(&body).unwrap_or_default()
        } else {
            Value::Null
        };
        let path: Vec<&str> = path.split('/').skip(1).collect();
        world.handle(method.as_str(), &path, query, body)
    };
    let (status, body) = match answer {
        Ok(result) => (
            200,
            json!({ "success": true, "errors": [], "messages": [], "result": result }),
        ),
        Err((status, code, message)) => (
            status,
            json!({ "success": false, "errors": [{ "code": code, "message": message }], "result": null }),
        ),
    };
    (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response()
}

impl World {
    fn handle(&mut self, method: &str, path: &[&str], query: &str, body: Value) -> Answer {
        let zone = json!({ "id": ZONE, "name": DOMAIN, "account": { "id": ACCOUNT } });
        match (method, path) {
            ("GET", ["zones"]) => Ok(json!([zone])),
            ("GET", ["zones", ZONE]) => Ok(zone),
            (_, ["zones", ZONE, "dns_records", rest @ ..]) => self.dns(method, rest, query, body),
            (_, ["accounts", ACCOUNT, "cfd_tunnel", rest @ ..]) => self.tunnel(method, rest, query, body),
            _ => Err((404, 7003, "Could not route")),
        }
    }

    fn tunnel(&mut self, method: &str, path: &[&str], query: &str, body: Value) -> Answer {
        let missing = (404, 1003, "Tunnel not found");
        let position = |tunnels: &[Value], id: &str| tunnels.iter().position(|tunnel| tunnel["id"] == id);
        match (method, path) {
            ("GET", []) => {
                let name = parameter(query, "name");
                let found = self
                    .tunnels
                    .iter()
                    .filter(|tunnel| name.is_none_or(|name| tunnel["name"] == name));
                Ok(found.cloned().collect())
            }
            ("POST", []) if body["config_src"] == "cloudflare" && body["name"].is_string() => {
                if self.tunnels.iter().any(|tunnel| tunnel["name"] == body["name"]) {
                    return Err((409, 1013, "You already have a tunnel with this name"));
                }
                let id = self.new_id("tunnel");
                let made = json!({ "id": id, "name": body["name"], "deleted_at": null });
                self.tunnels.push(made.clone());
                Ok(made)
            }
            ("GET", [id, "token"]) => position(&self.tunnels, id)
                .map(|_| token_of(id).into())
                .ok_or(missing),
            ("PUT", [id, "configurations"]) if body["config"]["ingress"].is_array() => {
                let position = position(&self.tunnels, id).ok_or(missing)?;
                self.tunnels[position]["config"] = body["config"].clone();
                Ok(body)
            }
            ("DELETE", [id]) if parameter(query, "cascade") == Some("true") => {
                let position = position(&self.tunnels, id).ok_or(missing)?;
                Ok(self.tunnels.remove(position))
            }
            _ => Err((400, 1001, "Bad request")),
        }
    }

    fn dns(&mut self, method: &str, path: &[&str], query: &str, body: Value) -> Answer {
        match (method, path) {
            ("GET", []) => {
                let name = parameter(query, "name");
                let found = self
                    .records
                    .iter()
                    .filter(|record| name.is_none_or(|name| record["name"] == name));
                Ok(found.cloned().collect())
            }
            ("POST", []) if body["type"] == "CNAME" && body["proxied"] == true => {
                if self.records.iter().any(|record| record["name"] == body["name"]) {
                    return Err((400, 81053, "A CNAME record with that host already exists."));
                }
                let mut record = body;
                record["id"] = self.new_id("record").into();
                self.records.push(record.clone());
                Ok(record)
            }
            ("DELETE", [id]) => {
                let position = self.records.iter().position(|record| record["id"] == *id);
                let position = position.ok_or((404, 81044, "Record does not exist."))?;
                Ok(self.records.remove(position))
            }
            _ => Err((400, 1004, "Bad request")),
        }
    }

    fn new_id(&mut self, kind: &str) -> String {
        self.last_id += 1;
        format!("{kind}-{}", self.last_id)
    }
}

/// The token of the tunnel with this id.
pub fn token_of(id: &str) -> String {
    format!("secret-token-of-{id}")
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    parameters
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}
