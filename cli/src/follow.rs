//! The events of a stream, each once, over as many connections as it takes.

use std::time::{Duration, Instant};

use reqwest::Response;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::error::{Error, Result};
use crate::events::{Event, Parser};
use crate::http::backoff;

/// The bridge sends a comment every 5 s, so a connection that is silent for this long is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it is tried to continue a stream, and how long a command continues without its client.
pub const LINGER: Duration = Duration::from_secs(60);

/// A stream that `open` opens behind the event of an id; `None`: no event has arrived yet.
pub struct Follower<O> {
    open: O,
    /// Whether the stream ends with an `exit`. Otherwise a proper end of the connection is its end, too.
    has_exit: bool,
    connection: Option<(Response, Parser)>,
    last_id: Option<String>,
    /// The time at which bytes last arrived, and the failures since then.
    last_progress: Instant,
    failures: u32,
    was_open: bool,
}

impl<O: AsyncFnMut(Option<&str>) -> Result<Response>> Follower<O> {
    /// A stream that is not open yet.
    pub fn new(has_exit: bool, open: O) -> Self {
        Self {
            open,
            has_exit,
            connection: None,
            last_id: None,
            last_progress: Instant::now(),
            failures: 0,
            was_open: false,
        }
    }

    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// The bridge refuses the request, or cannot be reached.
    pub async fn start(&mut self) -> Result<()> {
        while self.connection.is_none() {
            let result = self.connect().await;
            self.recover(result).await?;
        }
        Ok(())
    }

    /// The next event. `None`: the stream has ended without an `exit`.
    ///
    /// # Errors
    ///
    /// The error of the stream, or of a connection that is down for [`LINGER`].
    pub async fn next(&mut self) -> Result<Option<Event>> {
        // The time of the reader is not one of the connection.
        self.note_progress();
        loop {
            self.start().await?;
            let result = self.read().await;
            match result {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) if !self.has_exit => return Ok(None),
                Ok(None) => {
                    self.recover(Err(Error::ConnectionLost("the stream broke off".to_owned())))
                        .await?
                }
                Err(error) => self.recover(Err(error)).await?,
            }
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let opening = (self.open)(self.last_id.as_deref());
        let response = match self.was_open {
            true => timeout(IDLE_TIMEOUT, opening).await.map_err(silent)??,
            // It may start a sandbox.
            false => opening.await?,
        };
        self.connection = Some((response, Parser::default()));
        self.was_open = true;
        self.note_progress();
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<Event>> {
        loop {
            let Some((response, parser)) = &mut self.connection else {
                return Ok(None);
            };
            if let Some((id, event)) = parser.next()? {
                self.last_id = id.or(self.last_id.take());
                return Ok(Some(event));
            }
            let bytes = timeout(IDLE_TIMEOUT, response.chunk()).await.map_err(silent)?;
            match bytes.map_err(Error::from_transport)? {
                Some(bytes) => parser.push(&bytes),
                None => return Ok(None),
            }
            self.note_progress();
        }
    }

    fn note_progress(&mut self) {
        (self.last_progress, self.failures) = (Instant::now(), 0);
    }

    /// Closes a connection that has failed, and waits before the next one. Returns other errors.
    async fn recover(&mut self, result: Result<()>) -> Result<()> {
        let Err(error) = result else {
            return Ok(());
        };
        self.connection = None;
        let is_first = !self.was_open && matches!(error, Error::Unreachable(_));
        if is_first || !error.is_lost() || self.last_progress.elapsed() > LINGER {
            return Err(error);
        }
        sleep(backoff(self.failures)).await;
        self.failures += 1;
        Ok(())
    }
}

fn silent(_: Elapsed) -> Error {
    Error::ConnectionLost("the bridge sends nothing".to_owned())
}
