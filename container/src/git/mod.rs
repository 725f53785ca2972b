//! Checkouts of git repositories.
//!
//! # Theory of operation
//!
//! A checkout takes several git commands, and they are one process of the
//! [registry](crate::exec::registry): `sandboxd git-checkout`, which runs as the sandbox's user, see
//! [`driver`]. It runs the git of the image, whose progress is its standard error.
//!
//! The credentials go over a [`control`] socket that only the driver inherits. The driver gives them to
//! no command line, no environment and no file: a credential helper of git reads them over a socket that
//! only that git and its children inherit, and once. Nothing that can be opened again through `/proc`
//! ever carries them but the pipe between the helper and git. The driver is not dumpable. The same is
//! not possible for git itself: a process of the same user that may trace it finds them in its memory.
//!
//! The driver sends the result back over the control socket. It is read when the driver has ended, and
//! becomes the `result` event of the log.

pub mod control;
pub mod driver;

use std::env;
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::post;
use sandbox_protocol::event::Exit;
use sandbox_protocol::exec::PROCESS_HEADER;
use sandbox_protocol::git::{Checkout, MAX_BODY};
use sandbox_protocol::{CheckoutRequest, ErrorBody, ErrorCode, Event, ExecRequest, event, sandboxd};
use serde_json::json;

use self::control::{Control, Message};
use crate::exec::Commands;
use crate::exec::process::{Process, Report};
use crate::exec::reader::Reader;
use crate::exec::start::OwnCommand;
use crate::exec::stream;
use crate::process::directory;
use crate::request_headers::accepts;
use crate::{Error, body, heartbeat};

/// The result of a checkout, once its process has ended.
type Outcome = Arc<OnceLock<Result<Checkout, ErrorBody>>>;

/// The routes of git.
pub fn router<S: Clone + Send + Sync + 'static>(commands: Arc<Commands>) -> Router<S> {
    Router::new()
        .route(sandboxd::GIT_CHECKOUT, post(checkout))
        .with_state(commands)
}

/// `POST /git/checkout`: fetches a repository and checks it out. Errors: 400, 413, 503 when nothing was
/// started; 409 and 502 by the code of the failure.
async fn checkout(
    State(commands): State<Arc<Commands>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, _permit) = body::read(&headers, body, MAX_BODY, commands.buffers()).await?;
    let request = CheckoutRequest::parse(&body)?;
    let command = command(&request, &commands)?;
    let (control, inherited) = Control::pair(request.auth.as_ref()).map_err(Error::Exec)?;
    let outcome = Outcome::default();
    let report = {
        let outcome = Arc::clone(&outcome);
        let timeout_ms = request.timeout_ms;
        Report::new(move |end| {
            let result = result(&control, end, timeout_ms.map_or(0, NonZeroU64::get));
            let result = outcome.get_or_init(|| result);
            Event::Result(result.clone().into())
        })
    };
    let own = OwnCommand {
        descriptors: vec![(inherited, control::NUMBER)],
        report: Some(report),
    };
    let (process, reader) = commands.start_own(command, own).await?;
    let mut response = if accepts(&headers, event::CONTENT_TYPE) {
        stream::response(reader.into_body())
    } else {
        answer(Arc::clone(&process), reader, outcome).await
    };
    if let Ok(id) = HeaderValue::from_str(process.id.as_str()) {
        response.headers_mut().insert(PROCESS_HEADER, id);
    }
    Ok(response)
}

/// The command that runs the driver.
fn command(request: &CheckoutRequest, commands: &Commands) -> Result<ExecRequest, Error> {
    let program = env::current_exe().map_err(Error::Exec)?;
    let target = directory::resolve(commands.workspace().as_ref(), &request.target_dir);
    let argv = [
        program.to_string_lossy().into_owned(),
        driver::CHECKOUT.to_owned(),
        target.to_string_lossy().into_owned(),
        request.to_json_without_auth(),
    ];
    let command = json!({ "argv": argv, "timeout_ms": request.timeout_ms });
    Ok(ExecRequest::parse(command.to_string().as_bytes())?)
}

/// Reads the output of the process to its end, and answers with its result.
async fn answer(process: Arc<Process>, mut reader: Reader, outcome: Outcome) -> Response {
    heartbeat::json(async move {
        while reader.next().await.is_some() {}
        let end = process.log.ended().await;
        match (outcome.get().cloned(), end.result) {
            (Some(result), _) => result.map_err(Error::Git),
            (None, Err(error)) => Err(Error::Failed(error)),
            (None, Ok(exit)) => Err(Error::Git(ended_early(&exit))),
        }
    })
    .await
}

/// The result that the driver has sent, or the reason why there is none.
fn result(control: &Control, end: &Result<Exit, ErrorBody>, timeout_ms: u64) -> Result<Checkout, ErrorBody> {
    let mut is_fetched = false;
    while let Some(message) = control.received() {
        match message {
            Message::Fetched => is_fetched = true,
            Message::Done(checkout) => return Ok(checkout),
            Message::Failed(error) => return Err(error),
        }
    }
    match end {
        Err(error) => Err(error.clone()),
        Ok(exit) if exit.timed_out => {
            let (code, what) = if is_fetched {
                (ErrorCode::GitError, "the checkout was not done")
            } else {
                (ErrorCode::GitNetworkError, "the repository was not fetched")
            };
            Err(ErrorBody::new(code, format!("{what} within {timeout_ms} ms")))
        }
        Ok(exit) => Err(ended_early(exit)),
    }
}

fn ended_early(exit: &Exit) -> ErrorBody {
    let code = exit.exit_code;
    let text = format!("the checkout was ended before it was done (exit code {code})");
    ErrorBody::new(ErrorCode::GitError, text)
}
