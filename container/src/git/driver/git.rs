//! Runs the commands of the image's git.

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, thread};

use sandbox_protocol::git::{Auth, RepoUrl};
use sandbox_protocol::{ErrorCode, Tail};

use super::credential::{CredentialSocket, CredentialUses};
use super::failure::Failure;

/// The end of git's output that is searched for the reason of a failure, in bytes.
const OUTPUT: usize = 16 * 1024;

/// The time after git's end within which its output is read. A process that it has left in the
/// background, such as ssh's for shared connections, may hold it for long.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// ssh asks nothing, and accepts the key of a host that it does not know yet.
const SSH: &str = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new";

/// The git of the image, for one repository.
#[derive(Debug)]
pub struct Git {
    url: RepoUrl,
    auth: Option<Auth>,
    /// This program, which is git's credential helper.
    program: PathBuf,
    /// The directory above which git looks for no repository.
    ceiling: PathBuf,
    /// Whether ssh is run as [`SSH`] says: the user has set nothing else.
    uses_own_ssh: bool,
}

/// The connections that a git command makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// None.
    None,
    /// To the server of the repository.
    Used(CredentialUses),
}

impl Git {
    /// The git for the repository `url`, with these credentials, in `directory`.
    pub fn new(url: RepoUrl, auth: Option<Auth>, directory: &Path) -> io::Result<Self> {
        let mut git = Self {
            uses_own_ssh: false,
            url,
            auth,
            program: env::current_exe()?,
            ceiling: directory.parent().unwrap_or(directory).to_owned(),
        };
        if !git.url.is_web() && env::var_os("GIT_SSH_COMMAND").is_none() {
            let directory = if directory.is_dir() {
                directory
            } else {
                Path::new(".")
            };
            let configured = git.ask(directory, &["config", "--get", "core.sshCommand"]);
            // It fails without git, and so does everything that follows.
            git.uses_own_ssh = configured.is_ok_and(|command| command.is_none());
        }
        Ok(git)
    }

    /// The URL of the repository.
    pub fn url(&self) -> &RepoUrl {
        &self.url
    }

    /// Runs git in `directory`, and returns its standard output without the last line feed. Its standard
    /// error is printed while it comes.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        network: Network,
        arguments: &[S],
    ) -> Result<String, Failure> {
        let (text, output, is_ok) = self.output(directory, network, arguments, true)?;
        if is_ok {
            return Ok(text);
        }
        let name = arguments
            .first()
            .map_or("".into(), |name| name.as_ref().to_string_lossy());
        Err(Failure::from_git(&name, &output))
    }

    /// As [`run`](Self::run), without printing anything. `None`: git has failed, which is an answer.
    pub fn ask<S: AsRef<OsStr>>(&self, directory: &Path, arguments: &[S]) -> Result<Option<String>, Failure> {
        let (text, _, is_ok) = self.output(directory, Network::None, arguments, false)?;
        Ok(is_ok.then_some(text))
    }

    fn output<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        network: Network,
        arguments: &[S],
        is_printed: bool,
    ) -> Result<(String, String, bool), Failure> {
        let failed = |e: io::Error| Failure::new(ErrorCode::GitError, format!("git cannot be run: {e}"));
        let mut command = self.command(directory);
        let source = match (network, &self.auth) {
            (Network::Used(answers), Some(auth)) => {
                Some(CredentialSocket::new(auth, &self.url, answers).map_err(failed)?)
            }
            _ => None,
        };
        if network == Network::None {
            // A question about a commit that is not there must not fetch it.
            command.env("GIT_NO_LAZY_FETCH", "1");
        }
        if let Some(source) = &source {
            self.confine(&mut command, source);
        }
        let mut child = command.args(arguments).spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Failure::new(ErrorCode::NotSupported, "the image has no git: install it there")
            }
            _ => failed(e),
        })?;
        // The last copy outside git: the source ends with git.
        drop(source);
        let (text, output) = outputs(&mut child, is_printed);
        let status = child.wait().map_err(failed)?;
        let received = |output: &Receiver<Vec<u8>>, timeout| {
            let bytes = output.recv_timeout(timeout).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let text = received(&text, OUTPUT_TIMEOUT);
        let output = received(&output, OUTPUT_TIMEOUT);
        Ok((text.trim_end().to_owned(), output, status.success()))
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Messages in English, and no questions.
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_CEILING_DIRECTORIES", &self.ceiling)
            .args(["-c", "advice.detachedHead=false"]);
        if self.uses_own_ssh {
            command.env("GIT_SSH_COMMAND", SSH);
        }
        command
    }

    /// Gives the credentials to the command, and to nothing that a file of the user names: no other
    /// helper, which would store them, no hook, no proxy and no rewritten URL.
    fn confine(&self, command: &mut Command, source: &CredentialSocket) {
        let helper = format!("credential.helper={}", source.helper(&self.program));
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .args(["-c", "credential.helper=", "-c", &helper])
            .args(["-c", "core.hooksPath=/dev/null"]);
    }
}

/// The standard output of `child`, and the end of its standard error, once they have ended.
fn outputs(child: &mut Child, is_printed: bool) -> (Receiver<Vec<u8>>, Receiver<Vec<u8>>) {
    let text = read(child.stdout.take(), |_| ());
    let output = read(child.stderr.take(), move |bytes| {
        if is_printed {
            // Fails when nobody reads it any more.
            let _ = io::stderr().write_all(bytes);
        }
    });
    (text, output)
}

/// Reads to the end on a thread of its own, and sends the last bytes.
fn read(
    input: Option<impl Read + Send + 'static>,
    seen: impl Fn(&[u8]) + Send + 'static,
) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut tail = Tail::new(OUTPUT);
        let mut buffer = [0; 8192];
        if let Some(mut input) = input {
            while let Ok(length @ 1..) = input.read(&mut buffer) {
                let bytes = buffer.get(..length).unwrap_or_default();
                seen(bytes);
                tail.push(bytes);
            }
        }
        // Fails when it took too long.
        let _ = sender.send(tail.bytes());
    });
    receiver
}
