//! The user that commands run as, and the environment that they start from.
//!
//! `/etc/passwd` and `/etc/group` are read directly: a statically linked program has no name
//! service to ask.

use std::ffi::OsString;
use std::{env, fs, io};

use rustix::process::{Gid, Uid, getuid};

use crate::environment::{Environment, Variables};

/// The `PATH` when the image sets none. Only root can write to these directories.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of `sandboxd` itself that mean nothing, or something wrong, to a command.
const OWN: [&str; 5] = ["PWD", "OLDPWD", "SHLVL", "_", "RUST_LOG"];

/// Prefixes of more such variables: the configuration of `sandboxd`, and socket activation.
const OWN_PREFIXES: [&str; 2] = ["SANDBOX_", "LISTEN_"];

/// The variables that belong to one user and not to another.
const PERSONAL: [&str; 3] = ["HOME", "USER", "LOGNAME"];

/// The user that commands run as.
#[derive(Debug, Clone)]
pub struct User {
    /// The ids to switch to; `None` leaves commands with the ids of `sandboxd`.
    pub ids: Option<Ids>,
    /// The environment that every command starts from. Its variables of the image are those that
    /// `sandboxd` was given, without its own; after a switch with the user's `HOME`, `USER` and
    /// `LOGNAME`; and with defaults for those of them, `PATH` and `LANG` that are missing.
    pub env: Environment,
}

/// The ids of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The user.
    pub uid: Uid,
    /// The user's own group.
    pub gid: Gid,
    /// Every group of the user, the own one included.
    pub groups: Vec<Gid>,
}

impl User {
    /// The user called `name` in `/etc/passwd`. Fails when there is none, or when `sandboxd` may
    /// not switch to it.
    pub fn named(name: &str) -> io::Result<Self> {
        let passwd = fs::read_to_string("/etc/passwd")?;
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        let entry = entries(&passwd)
            .find(|entry| entry.name == name)
            .ok_or_else(|| io::Error::other(format!("SANDBOX_USER: there is no user {name}")))?;
        if entry.uid != getuid() && !getuid().is_root() {
            return Err(io::Error::other("SANDBOX_USER: only root can switch users"));
        }
        // Without a switch nothing needs root, and spawning takes the faster path.
        let switch = entry.uid != getuid();
        Ok(Self {
            ids: switch.then(|| Ids {
                uid: entry.uid,
                gid: entry.gid,
                groups: groups(&group, &entry),
            }),
            env: Environment::new(base_env(
                env::vars_os().filter(|(name, _)| !PERSONAL.iter().any(|own| name == own)),
                Some(&entry),
            )),
        })
    }

    /// The user that `sandboxd` runs as, with the variables it was given.
    pub fn current() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = entries(&passwd).find(|entry| entry.uid == getuid());
        Self {
            ids: None,
            env: Environment::new(base_env(env::vars_os(), entry.as_ref())),
        }
    }
}

/// A line of `/etc/passwd`.
struct Entry<'a> {
    name: &'a str,
    uid: Uid,
    gid: Gid,
    home: &'a str,
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some(Entry {
            name: fields.next()?,
            uid: Uid::from_raw(fields.nth(1)?.parse().ok()?),
            gid: Gid::from_raw(fields.next()?.parse().ok()?),
            home: fields.nth(1)?,
        })
    })
}

fn groups(group: &str, entry: &Entry<'_>) -> Vec<Gid> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let gid = Gid::from_raw(fields.nth(2)?.parse().ok()?);
        let member = fields.next()?.split(',').any(|member| member == entry.name);
        (member && gid != entry.gid).then_some(gid)
    };
    std::iter::once(entry.gid)
        .chain(group.lines().filter_map(of_line))
        .collect()
}

fn base_env(given: impl Iterator<Item = (OsString, OsString)>, entry: Option<&Entry<'_>>) -> Variables {
    let own = |name: &OsString| {
        let name = name.to_string_lossy();
        OWN.contains(&&*name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut env: Variables = given.filter(|(name, _)| !own(name)).collect();
    if let Some(entry) = entry {
        for (name, value) in [
            ("HOME", entry.home),
            ("USER", entry.name),
            ("LOGNAME", entry.name),
        ] {
            env.entry(name.into()).or_insert_with(|| value.into());
        }
    }
    for (name, value) in [("PATH", SYSTEM_PATH), ("HOME", "/"), ("LANG", "C.UTF-8")] {
        env.entry(name.into()).or_insert_with(|| value.into());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# no entry\nsandbox:x:1000:1001:,,,:/home/sandbox:/bin/bash\n";
    const GROUP: &str =
        "root:x:0:\nsandbox:x:1001:\ndocker:x:990:me,sandbox\nother:x:5:sandboxes\nsame:x:1001:sandbox\n";

    fn sandbox() -> Entry<'static> {
        entries(PASSWD).find(|entry| entry.name == "sandbox").unwrap()
    }

    #[test]
    fn a_user_has_its_ids_and_groups() {
        let entry = sandbox();
        assert_eq!(
            (entry.uid.as_raw(), entry.gid.as_raw(), entry.home),
            (1000, 1001, "/home/sandbox")
        );
        let groups: Vec<_> = groups(GROUP, &entry).into_iter().map(Gid::as_raw).collect();
        assert_eq!(groups, [1001, 990]);
    }

    #[test]
    fn commands_get_the_environment_of_the_image_and_nothing_of_sandboxd() {
        let given = [
            ("GOPATH", "/go"),
            ("HOME", "/elsewhere"),
            ("LISTEN_FDS", "1"),
            ("PWD", "/"),
            ("SANDBOX_BOOT_ID", "b"),
            ("SANDBOX_USER", "sandbox"),
        ];
        let given = given.map(|(name, value)| (name.into(), value.into()));
        let env = base_env(given.into_iter(), Some(&sandbox()));
        let names: Vec<_> = env.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["GOPATH", "HOME", "LANG", "LOGNAME", "PATH", "USER"]);
        assert_eq!(
            env.get(&OsString::from("HOME")).unwrap(),
            "/elsewhere",
            "what was given stays"
        );
        assert_eq!(env.get(&OsString::from("USER")).unwrap(), "sandbox");
    }

    #[test]
    fn a_path_of_the_image_stays() {
        let env = base_env([("PATH".into(), "/opt/bin".into())].into_iter(), None);
        assert_eq!(env.get(&OsString::from("PATH")).unwrap(), "/opt/bin");
        assert_eq!(env.get(&OsString::from("HOME")).unwrap(), "/");
    }
}
