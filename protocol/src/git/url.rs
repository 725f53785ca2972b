//! The URL of a repository.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::{Auth, is_control};
use crate::Invalid;

/// The user of the short form of ssh URLs.
const SHORT_FORM: &str = "git@";

/// The URL of a repository, without a password: of `http` or `https`, without a user, or of `ssh`,
/// or the short form `git@host:path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoUrl {
    text: String,
    scheme: Scheme,
    /// The host and the port.
    host: String,
    /// The path, without slashes at its ends.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Ssh,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ssh => "ssh",
        }
    }
}

impl RepoUrl {
    /// Parses a URL. Returns the credentials that it had, too.
    ///
    /// # Errors
    ///
    /// 400 for another scheme or form. The message has nothing of the URL, which may have a password.
    pub fn parse(url: &str) -> Result<(Self, Option<Auth>), Invalid> {
        let refused = |why: &str| Invalid::request(format!("repoUrl is not a URL of a repository: {why}"));
        if url.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(refused("it has other characters than printable ones of ASCII"));
        }
        let (scheme, rest) = match url.split_once("://") {
            Some((name, rest)) => match name.to_ascii_lowercase().as_str() {
                "http" => (Scheme::Http, rest),
                "https" => (Scheme::Https, rest),
                "ssh" => (Scheme::Ssh, rest),
                _ => return Err(refused("it must begin with https://, http://, ssh:// or git@")),
            },
            None => {
                return Self::short_form(url)
                    .ok_or_else(|| refused("it must be of https, http or ssh, or git@host:path"));
            }
        };
        let (authority, path) = rest.split_once('/').ok_or_else(|| refused("it has no path"))?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if !is_host(host) {
            return Err(refused("its host is not one"));
        }
        let is_web = scheme != Scheme::Ssh;
        let user = user.map(|user| credentials(user).ok_or_else(|| refused("its user is not one")));
        let user = user.transpose()?;
        let (before, credentials) = match user {
            Some(auth) if is_web => (String::new(), Some(auth)),
            Some(auth) if !auth.token.is_empty() => {
                return Err(refused("ssh takes no password from a URL"));
            }
            Some(auth) if auth.username.starts_with('-') => return Err(refused("its user is not one")),
            Some(auth) => (format!("{}@", auth.username), None),
            None => (String::new(), None),
        };
        let parsed = Self {
            text: format!("{}://{before}{host}/{path}", scheme.name()),
            scheme,
            host: host.to_ascii_lowercase(),
            path: path.trim_matches('/').to_owned(),
        };
        if parsed.directory().is_empty() {
            return Err(refused("it has no path"));
        }
        Ok((parsed, credentials))
    }

    fn short_form(url: &str) -> Option<(Self, Option<Auth>)> {
        let (host, path) = url.strip_prefix(SHORT_FORM)?.split_once(':')?;
        let parsed = Self {
            text: url.to_owned(),
            scheme: Scheme::Ssh,
            host: host.to_ascii_lowercase(),
            path: path.trim_matches('/').to_owned(),
        };
        (is_host(host) && !parsed.directory().is_empty()).then_some((parsed, None))
    }

    /// The URL as it is given to git.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is of `http` or `https`.
    pub fn is_web(&self) -> bool {
        self.scheme != Scheme::Ssh
    }

    /// Whether git asks for credentials of this URL with this `protocol` and `host`, in which the
    /// host has its port.
    pub fn is_at(&self, protocol: &str, host: &str) -> bool {
        self.scheme.name() == protocol && self.host.eq_ignore_ascii_case(host)
    }

    /// Whether `other` is a URL of the same repository.
    pub fn is_same(&self, other: &str) -> bool {
        let Ok((other, _)) = Self::parse(other) else {
            return false;
        };
        let path = |url: &Self| url.path.strip_suffix(".git").unwrap_or(&url.path).to_owned();
        (self.scheme, &self.host, path(self)) == (other.scheme, &other.host, path(&other))
    }

    /// The name that git gives the directory of a clone; empty if there is none.
    pub fn directory(&self) -> &str {
        let last = self.path.rsplit(['/', ':']).next().unwrap_or_default();
        let name = last.strip_suffix(".git").unwrap_or(last);
        if matches!(name, "." | "..") { "" } else { name }
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The user and the password before a host.
fn credentials(user: &str) -> Option<Auth> {
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?.into_owned();
        (!text.contains(is_control)).then_some(text)
    };
    let (username, token) = user.split_once(':').unwrap_or((user, ""));
    Some(Auth {
        username: decode(username)?,
        token: decode(token)?,
    })
}

/// Whether this is a host, with a port or without.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_name = || {
        !host.is_empty()
            && !host.starts_with('-')
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_v6 = v6.is_some_and(|v6| {
        v6.contains(':')
            && v6
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    });
    (is_v6 || is_name()) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A text in which the users and the passwords of URLs are left out.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut cleaned = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + "://".len());
        cleaned.push_str(before);
        let is_end = |c: char| c.is_whitespace() || "/'\"<>?#".contains(c);
        let authority = after.get(..after.find(is_end).unwrap_or(after.len()));
        let user = authority.and_then(|authority| authority.rfind('@'));
        rest = user.and_then(|user| after.get(user + 1..)).unwrap_or(after);
    }
    if cleaned.is_empty() {
        return text.into();
    }
    cleaned.push_str(rest);
    cleaned.into()
}
