//! The way of the credentials from the driver to one git command.
//!
//! git runs a credential helper, this program, when a server asks for credentials. The helper sends
//! git's question over a socket that it has inherited through git, and prints the answer. A thread of
//! the driver answers: only a question about the host of the repository, and only once.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::thread;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sandbox_protocol::git::{Auth, RepoUrl};
use socket2::{Domain, Socket, Type};

use crate::git::control;

/// The first argument of the helper. The number of the socket follows, then git's operation.
pub const HELPER: &str = "git-credential";

/// The largest question, in bytes.
const MAX_QUESTION: usize = 16 * 1024;

/// How often a git command gets the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialUses {
    /// Once.
    Once,
    /// As often as it asks: a command that fetches several times.
    Unlimited,
}

/// The side of the socket that a git command inherits.
#[derive(Debug)]
pub struct CredentialSocket(Socket);

impl CredentialSocket {
    /// A socket over which a git command gets `auth` for the URL `url`.
    pub fn new(auth: &Auth, url: &RepoUrl, uses: CredentialUses) -> io::Result<Self> {
        let (own, inherited) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let (auth, url) = (auth.clone(), url.clone());
        // It ends when git and its children have ended, or this process has.
        thread::Builder::new()
            .name("credentials".into())
            .spawn(move || answer(&own, &auth, &url, uses))?;
        control::inherit(&inherited)?;
        Ok(Self(inherited))
    }

    /// The value of `credential.helper`, a command line for a shell, to which git adds the operation.
    pub fn helper(&self, program: &Path) -> String {
        let program = program.to_string_lossy().replace('\'', r"'\''");
        format!("!exec '{program}' {HELPER} {}", self.0.as_raw_fd())
    }
}

/// Answers the questions about `url` that come over `socket`.
fn answer(mut socket: &Socket, auth: &Auth, url: &RepoUrl, uses: CredentialUses) {
    let mut question = [0; MAX_QUESTION];
    loop {
        let length = match socket.read(&mut question) {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let question = String::from_utf8_lossy(question.get(..length).unwrap_or_default());
        let value = |name: &str| {
            let mut fields = question.lines().filter_map(|line| line.split_once('='));
            fields
                .find(|(field, _)| *field == name)
                .map_or("", |(_, value)| value)
        };
        let is_for_url = url.is_at(value("protocol"), value("host"));
        let answer = if is_for_url {
            format!("username={}\npassword={}\n", auth.username, auth.token)
        } else {
            "\n".to_owned()
        };
        // Fails when git was ended.
        let is_sent = socket.write_all(answer.as_bytes()).is_ok();
        if !is_sent || is_for_url && uses == CredentialUses::Once {
            return;
        }
    }
}

/// Runs the helper. It prints nothing when it gets no answer: git then has no credentials.
pub fn help(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    // First: no process of the same user reads the answer from the memory of this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let number = arguments
        .next()
        .and_then(|number| number.to_str()?.parse::<RawFd>().ok());
    let operation = arguments.next();
    let (Some(number), Some(operation)) = (number.filter(|number| *number > 2), operation) else {
        return Err(io::Error::other("usage: git-credential NUMBER OPERATION"));
    };
    if operation != "get" {
        return Ok(());
    }
    let mut question = Vec::new();
    io::stdin().take(MAX_QUESTION as u64).read_to_end(&mut question)?;
    // SAFETY: it was inherited for this, and nothing else in this process owns it.
    let mut socket = Socket::from(unsafe { OwnedFd::from_raw_fd(number) });
    let mut answer = [0; MAX_QUESTION];
    let asked = socket.write_all(&question);
    let length = asked.and_then(|()| socket.read(&mut answer)).unwrap_or_default();
    io::stdout().write_all(answer.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(source: &CredentialSocket, question: &str) -> Option<String> {
        let mut socket = &source.0;
        socket.write_all(question.as_bytes()).ok()?;
        let mut answer = [0; MAX_QUESTION];
        let length = socket.read(&mut answer).ok()?;
        String::from_utf8(answer[..length].to_vec()).ok()
    }

    fn source(uses: CredentialUses) -> CredentialSocket {
        let (url, _) = RepoUrl::parse("https://host:8443/a").unwrap();
        let auth = Auth {
            username: "u".into(),
            token: "t".into(),
        };
        CredentialSocket::new(&auth, &url, uses).unwrap()
    }

    const QUESTION: &str = "capability[]=authtype\nprotocol=https\nhost=host:8443\n";

    #[test]
    fn one_question_about_the_host_of_the_repository_is_answered() {
        let source = source(CredentialUses::Once);
        for other in [
            "protocol=http\nhost=host:8443\n",
            "protocol=https\nhost=host\n",
            "protocol=https\nhost=host:8443.evil\n",
            "host=host:8443\n",
        ] {
            assert_eq!(ask(&source, other).as_deref(), Some("\n"), "{other}");
        }
        assert_eq!(
            ask(&source, QUESTION).as_deref(),
            Some("username=u\npassword=t\n")
        );
        assert!(ask(&source, QUESTION).is_none_or(|answer| answer.is_empty()));
    }

    #[test]
    fn a_command_that_fetches_several_times_gets_several_answers() {
        let source = source(CredentialUses::Unlimited);
        for _ in 0..3 {
            assert_eq!(
                ask(&source, QUESTION).as_deref(),
                Some("username=u\npassword=t\n")
            );
        }
    }

    #[test]
    fn the_command_line_of_the_helper_is_quoted() {
        let helper = source(CredentialUses::Once).helper(Path::new("/a b/it's"));
        assert!(
            helper.starts_with(r"!exec '/a b/it'\''s' git-credential "),
            "{helper}"
        );
    }
}
