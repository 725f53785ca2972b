//! Terminals.
//!
//! # Theory of operation
//!
//! One [`task`] owns each terminal: the [`device`], the [`program`] that runs in it, the end of its output for a
//! [`replay`]. It knows nothing of WebSockets. A [`connection`] knows nothing of terminals. Between the two is a
//! [`client`]: channels with room for a few pieces, which carry the flow control from the program's `write` to the
//! client's `read` and back.
//!
//! A terminal of a client's own gets that one client and is hung up on when the client leaves. A terminal of a session
//! stays when its client leaves, and is found by the next one that names the session; the newest client has it. It is
//! hung up on when nobody came for [`LINGER_SECONDS`], or when the session is deleted. A program that ends meanwhile keeps
//! its exit for them. What the terminal starts from, and what the session keeps of it, is [`Session`]'s business.
//!
//! To hang up on a terminal is to send SIGHUP to the process group in its foreground and to the first process's own,
//! to close our end, and to kill, a second later, every process of its tree that is left: also what ignores SIGHUP, and
//! what left the terminal by `setsid`. When the program ends by itself, on the other hand, what it left in the background
//! lives on, as it does after a command, if the kernel's own SIGHUP to the foreground does not reach it. When `sandboxd`
//! shuts down, programs are sent SIGHUP too, and clients are told how they end.

pub mod client;
pub mod connection;
pub mod device;
pub mod program;
pub mod replay;
pub mod screen;
pub mod task;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::FutureExt as _;
use sandbox_protocol::pty::{LINGER_SECONDS, MAX_MESSAGE};
use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{Invalid, PtyRequest, SessionId, sandboxd};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use self::client::{Client, Clients, Connection, Output};
use self::program::Launcher;
use self::replay::Replay;
use self::screen::Screen;
use self::task::Task;
use crate::activity::{Occupation, Tracker};
use crate::pid1::Children;
use crate::quota::{Buffers, Quota};
use crate::server::Connected;
use crate::session::{Session, Sessions};
use crate::{Config, Error};

/// How much is read from a client's connection at a time, in bytes.
const READ: usize = 16 * 1024;

/// How many clients of one session may come at the same moment.
const ARRIVING: usize = 16;

/// All terminals.
#[derive(Debug)]
pub struct Terminals {
    config: Arc<Config>,
    children: Arc<Children>,
    tracker: Arc<Tracker>,
    last_cookie: AtomicU64,
    room: Quota,
    buffers: Buffers,
    sessions: Arc<Sessions>,
    of_sessions: Mutex<HashMap<SessionId, OfSession>>,
    /// Whether `sandboxd` is shutting down. Every terminal and every connection has a receiver.
    closing: watch::Sender<bool>,
}

/// The terminal of a session.
#[derive(Debug)]
struct OfSession {
    session: Arc<Session>,
    arriving: mpsc::Sender<Client>,
}

/// The route of terminals.
pub fn router<S: Clone + Send + Sync + 'static>(terminals: Arc<Terminals>) -> Router<S> {
    Router::new()
        .route(sandboxd::PTY, get(open))
        .with_state(terminals)
}

/// `GET /pty`: becomes the WebSocket of a terminal. Errors are those of the request; what is wrong with the terminal is
/// said over the WebSocket.
async fn open(
    State(terminals): State<Arc<Terminals>>,
    headers: HeaderMap,
    uri: Uri,
    connected: Option<Extension<Connected>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade.map_err(|_| Invalid::request("WebSocket upgrade required"))?;
    let session = headers.get(SESSION_HEADER).map(|id| id.as_bytes());
    let session = session.map(String::from_utf8_lossy);
    let request = PtyRequest::parse(uri.query().unwrap_or_default(), session.as_deref())?;
    let upgrade = upgrade
        .read_buffer_size(READ)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(async move |socket| {
        let _connected = connected;
        let _busy = terminals.tracker.begin(Occupation::Request);
        let _closing = terminals.closing.subscribe();
        let (connection, first) = terminals.enter(&request).await;
        connection::serve(socket, connection, first).await;
    }))
}

impl Terminals {
    /// No terminals yet. They run as `config` says, enter their processes in `children`, are counted in `tracker` and find
    /// their sessions in `sessions`. What their clients send takes room in `buffers`.
    pub fn new(
        config: Arc<Config>,
        children: Arc<Children>,
        tracker: Arc<Tracker>,
        sessions: Arc<Sessions>,
        buffers: Buffers,
    ) -> Arc<Self> {
        Arc::new(Self {
            room: Quota::new("terminals", config.limits.max_terminals),
            buffers,
            config,
            children,
            tracker,
            last_cookie: AtomicU64::new(0),
            sessions,
            of_sessions: Mutex::default(),
            closing: watch::Sender::new(false),
        })
    }

    /// Lets every terminal end, and returns when the last client has been told how its own did.
    pub async fn shut_down(&self) {
        self.closing.send_replace(true);
        self.closing.closed().await;
    }

    /// A client of the terminal that `request` asks for, and the first thing that the terminal says.
    async fn enter(self: &Arc<Self>, request: &PtyRequest) -> (Connection, Option<Output>) {
        let mut connection = self.attach(request);
        let mut first = connection.output.recv().await;
        if first.is_none() {
            // It was just ending, and lets nobody in any more: there will be another one.
            connection = self.attach(request);
            first = connection.output.recv().await;
        }
        (connection, first)
    }

    /// A client of the terminal that `request` asks for: of its session's, if there is one, and otherwise of a new one.
    fn attach(self: &Arc<Self>, request: &PtyRequest) -> Connection {
        let (client, connection) = Client::new(request.size, self.buffers.clone());
        match &request.session {
            None => drop(self.start(request, None, client)),
            Some(id) => match self.sessions.open(id) {
                Ok(session) => self.attach_to(request, session, client),
                Err(e) => client.refuse(e.to_string()),
            },
        }
        connection
    }

    /// Lets `client` into the terminal of `session`.
    fn attach_to(self: &Arc<Self>, request: &PtyRequest, session: Arc<Session>, client: Client) {
        let mut of_sessions = self.of_sessions.lock().unwrap_or_else(PoisonError::into_inner);
        of_sessions.retain(|_, terminal| !terminal.arriving.is_closed());
        let found = of_sessions
            .get(session.id())
            // Not the one of a session that was deleted meanwhile.
            .filter(|terminal| Arc::ptr_eq(&terminal.session, &session));
        let newcomer = match found {
            Some(terminal) => terminal.arriving.try_send(client).err(),
            None => Some(TrySendError::Closed(client)),
        };
        match newcomer {
            None => {}
            Some(TrySendError::Full(client)) => {
                client.refuse("too many clients want this session's terminal at once".to_owned());
            }
            Some(TrySendError::Closed(client)) => {
                let arriving = self.start(request, Some(Arc::clone(&session)), client);
                of_sessions.insert(session.id().clone(), OfSession { session, arriving });
            }
        }
    }

    /// Starts a terminal for its first client; how others reach it.
    fn start(
        self: &Arc<Self>,
        request: &PtyRequest,
        session: Option<Arc<Session>>,
        client: Client,
    ) -> mpsc::Sender<Client> {
        let (terminal, arriving) = mpsc::channel(ARRIVING);
        let permit = match self.room.take() {
            Ok(permit) => permit,
            Err(e) => {
                client.refuse(e.to_string());
                return terminal;
            }
        };
        // It is new and has room.
        let _ = terminal.try_send(client);
        let (linger, replay) = match session {
            Some(_) => (Duration::from_secs(LINGER_SECONDS), Some(Replay::default())),
            None => (Duration::ZERO, None),
        };
        let deleted = match &session {
            Some(session) => session.deleted().boxed(),
            None => std::future::pending().boxed(),
        };
        let number = self.last_cookie.fetch_add(1, Relaxed) + 1;
        let cookie = format!("{}.pty.{number}", self.config.instance);
        let config = Arc::clone(&self.config);
        let task = Task {
            mode: request.mode,
            launcher: Launcher::find(request.shell.as_ref(), config, session, cookie),
            size: request.size,
            clients: Clients::new(arriving, linger),
            screen: Screen::new(replay),
            children: Arc::clone(&self.children),
            tracker: Arc::clone(&self.tracker),
            deleted,
            closing: self.closing.subscribe(),
        };
        tokio::spawn(async move {
            task.run().await;
            drop(permit);
        });
        terminal
    }
}
