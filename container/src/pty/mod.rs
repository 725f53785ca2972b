//! Terminals.
//!
//! # Theory of operation
//!
//! One [`task`] owns each terminal: the [`device`], the [`program`] that runs in it, the end of its
//! output for a replay. It does not depend on WebSockets, and a [`connection`] does not depend on
//! terminals. Between the two is a [`client`]: channels of a few pieces, which carry the flow
//! control from the program's `write` to the client's `read` and back.
//!
//! A terminal without a session has one client and is hung up on when the client leaves. A terminal
//! of a session stays when its client leaves, and the next client that names the session attaches
//! to it; the newest client replaces the one before. It is hung up on when no client came for
//! `terminal_linger_ms`, or when the session is deleted. When a program ends meanwhile, its exit is
//! kept for the next client. [`Session`] gives the terminal its initial state and saves its
//! changes.
//!
//! To hang up on a terminal is to send SIGHUP to the process group in its foreground and to that of
//! its first process, to close our end, and to kill, a second later, every process of its tree that
//! is left: also those that ignore SIGHUP, and those that left the terminal by `setsid`. When the
//! program exits, on the other hand, its background processes live on, as they do after a command,
//! if the kernel's own SIGHUP to the foreground does not reach them. When `sandboxd` shuts down,
//! programs are sent SIGHUP too, and clients get their exit.

pub mod client;
pub mod connection;
pub mod device;
pub mod job;
pub mod line;
pub mod program;
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
use sandbox_protocol::pty::MAX_REPLAY;
use sandbox_protocol::session::SESSION_HEADER;
use sandbox_protocol::{Invalid, PtyRequest, SessionId, Tail, sandboxd};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use self::client::{Client, Clients, Connection, Output};
use self::program::Launcher;
use self::screen::Screen;
use self::task::Task;
use crate::activity::{ActivityKind, Tracker};
use crate::process::children::Children;
use crate::quota::{Buffers, Quota};
use crate::server::Connected;
use crate::session::{Session, Sessions};
use crate::threads::PATHS;
use crate::{Config, Error, websocket};

/// The number of clients of one session that may arrive at the same time.
const MAX_ARRIVING: usize = 16;

/// All terminals.
#[derive(Debug)]
pub struct Terminals {
    config: Arc<Config>,
    children: Arc<Children>,
    tracker: Arc<Tracker>,
    last_cookie: AtomicU64,
    quota: Quota,
    buffers: Buffers,
    sessions: Arc<Sessions>,
    by_session: Mutex<HashMap<SessionId, SessionTerminal>>,
    /// Whether `sandboxd` is shutting down. Every terminal and every connection has a receiver.
    closing: watch::Sender<bool>,
}

/// The terminal of a session.
#[derive(Debug)]
struct SessionTerminal {
    session: Arc<Session>,
    arriving: mpsc::Sender<Client>,
}

/// The route of terminals.
pub fn router<S: Clone + Send + Sync + 'static>(terminals: Arc<Terminals>) -> Router<S> {
    Router::new()
        .route(sandboxd::PTY, get(open))
        .with_state(terminals)
}

/// `GET /pty`: upgrades to the WebSocket of a terminal. Errors are those of the request; errors of
/// the terminal are sent over the WebSocket.
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
    Ok(websocket::bounded(upgrade).on_upgrade(async move |socket| {
        let _connected = connected;
        let _activity = terminals.tracker.begin(ActivityKind::Request);
        let _closing = terminals.closing.subscribe();
        let (connection, first) = terminals.enter(&request).await;
        connection::serve(socket, connection, first).await;
    }))
}

impl Terminals {
    /// An empty table. Terminals run as `config` says, enter their processes in `children`, are
    /// counted in `tracker` and find their sessions in `sessions`. The bytes that their clients
    /// send are counted in `buffers`.
    pub fn new(
        config: Arc<Config>,
        children: Arc<Children>,
        tracker: Arc<Tracker>,
        sessions: Arc<Sessions>,
        buffers: Buffers,
    ) -> Arc<Self> {
        Arc::new(Self {
            quota: Quota::new("terminals", config.limits.max_terminals),
            buffers,
            config,
            children,
            tracker,
            last_cookie: AtomicU64::new(0),
            sessions,
            by_session: Mutex::default(),
            closing: watch::Sender::new(false),
        })
    }

    /// Ends every terminal, and returns when the last client has got the exit of its own.
    pub async fn shut_down(&self) {
        self.closing.send_replace(true);
        self.closing.closed().await;
    }

    /// Attaches to the terminal that `request` names, and waits for its first output.
    async fn enter(self: &Arc<Self>, request: &PtyRequest) -> (Connection, Option<Output>) {
        let mut connection = self.attach(request).await;
        let mut first = connection.output.recv().await;
        if first.is_none() {
            // The terminal was ending and takes no further client: this starts another one.
            connection = self.attach(request).await;
            first = connection.output.recv().await;
        }
        (connection, first)
    }

    /// Attaches a client to the terminal that `request` names: its session's, if there is one,
    /// otherwise a new one.
    async fn attach(self: &Arc<Self>, request: &PtyRequest) -> Connection {
        let (client, connection) = Client::new(request.size, self.buffers.clone());
        match &request.session {
            None => drop(self.start(request, None, client)),
            Some(id) => match self.sessions.open(id).await {
                Ok(session) => self.attach_to(request, session, client),
                Err(e) => client.reject(e.to_string()),
            },
        }
        connection
    }

    /// Attaches `client` to the terminal of `session`.
    fn attach_to(self: &Arc<Self>, request: &PtyRequest, session: Arc<Session>, client: Client) {
        let mut by_session = self.by_session.lock().unwrap_or_else(PoisonError::into_inner);
        by_session.retain(|_, terminal| !terminal.arriving.is_closed());
        let found = by_session
            .get(session.id())
            // Not that of a session that was deleted meanwhile.
            .filter(|terminal| Arc::ptr_eq(&terminal.session, &session));
        let newcomer = match found {
            Some(terminal) => terminal.arriving.try_send(client).err(),
            None => Some(TrySendError::Closed(client)),
        };
        match newcomer {
            None => {}
            Some(TrySendError::Full(client)) => {
                client.reject("too many clients want this session's terminal at once".to_owned());
            }
            Some(TrySendError::Closed(client)) => {
                let arriving = self.start(request, Some(Arc::clone(&session)), client);
                by_session.insert(session.id().clone(), SessionTerminal { session, arriving });
            }
        }
    }

    /// Starts a terminal for its first client. Returns the channel for further clients.
    fn start(
        self: &Arc<Self>,
        request: &PtyRequest,
        session: Option<Arc<Session>>,
        client: Client,
    ) -> mpsc::Sender<Client> {
        let (terminal, arriving) = mpsc::channel(MAX_ARRIVING);
        let permit = match self.quota.take() {
            Ok(permit) => permit,
            Err(e) => {
                client.reject(e.to_string());
                return terminal;
            }
        };
        // The channel is new and has a free slot.
        let _ = terminal.try_send(client);
        let (linger, replay) = match session {
            Some(_) => (
                Duration::from_millis(self.config.limits.terminal_linger_ms.value),
                Some(Tail::new(MAX_REPLAY)),
            ),
            None => (Duration::ZERO, None),
        };
        let deleted = match &session {
            Some(session) => session.deleted().boxed(),
            None => std::future::pending().boxed(),
        };
        let number = self.last_cookie.fetch_add(1, Relaxed) + 1;
        let cookie = format!("{}.pty.{number}", self.config.instance);
        let permit = Arc::new(permit);
        let find = {
            let (permit, config, shell) = (
                Arc::clone(&permit),
                Arc::clone(&self.config),
                request.shell.clone(),
            );
            move || {
                let _permit = permit;
                Launcher::find(shell.as_ref(), config, session, cookie).map(Arc::new)
            }
        };
        let mut task = Task {
            mode: request.mode,
            launcher: Err(String::new()),
            permit,
            size: request.size,
            clients: Clients::new(arriving, linger),
            screen: Screen::new(replay),
            children: Arc::clone(&self.children),
            tracker: Arc::clone(&self.tracker),
            deleted,
            closing: self.closing.subscribe(),
        };
        tokio::spawn(async move {
            let found = PATHS.run_with_timeout(find).await;
            task.launcher = found.unwrap_or_else(|e| Err(format!("the shell cannot be found: {e}")));
            task.run().await;
        });
        terminal
    }
}
