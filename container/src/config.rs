//! The configuration of `sandboxd`: flags and environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::{env, io};

use sandbox_protocol::code::parse_prewarm;
use sandbox_protocol::{FileRoots, Limits, sandboxd, workspace_path};

use crate::random::random_id;
use crate::secret::Secret;
use crate::user::User;

/// The text of `--help`.
pub const USAGE: &str = "\
Usage: sandboxd [--listen ADDRESS:PORT] [--workspace DIRECTORY] [--volume DIRECTORY] [--reserve-mounting]

  --listen     where to listen, 0.0.0.0:28671 by default; a socket passed with LISTEN_FDS is used instead
  --workspace  the directory that clients know as /workspace; that one by default
  --volume     a directory that holds the workspace by its name, on the same mount; archives are unpacked
               there first. By default the one that the workspace is in
  --reserve-mounting
               keeps CAP_SYS_ADMIN, if sandboxd has it, from commands, for where they run as sandboxd's own user

Environment:
  SANDBOX_BOOT_ID  id of this boot, sent with every response; random by default
  SANDBOX_SECRET   what every request must show in its header Sandbox-Secret; by default none is asked for
  SANDBOX_USER     user in /etc/passwd that commands run as; by default the one that sandboxd runs as
  SANDBOX_CLOUDFLARED
                   path of the cloudflared that connects tunnels, run as the user that sandboxd runs as; by default it
                   is looked for in the system's directories
  SANDBOX_FILE_ROOTS
                   directories that the files of clients may be in besides the workspace, with : between them
  CODE_PREWARM     languages whose Jupyter kernels are kept ready, with commas between them; none by default
  SANDBOX_MAX_…    limits, see docs/limits.md";

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// The address to listen on when no socket is passed.
    pub listen: SocketAddr,
    /// The directory that clients know as `/workspace`.
    pub workspace: PathBuf,
    /// The directory that archives are unpacked in, if not the workspace's parent.
    pub volume: Option<PathBuf>,
    /// Whether commands lose the capability that `sandboxd` mounts with.
    pub reserve_mounting: bool,
}

impl Flags {
    /// Parses the command line; `None` when it asks for help.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;

        let mut flags = Self {
            listen: (Ipv4Addr::UNSPECIFIED, sandboxd::PORT).into(),
            workspace: workspace_path::WORKSPACE.into(),
            volume: None,
            reserve_mounting: false,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("listen") => flags.listen = parser.value()?.parse()?,
                Long("workspace") => flags.workspace = parser.value()?.into(),
                Long("volume") => flags.volume = Some(parser.value()?.into()),
                Long("reserve-mounting") => flags.reserve_mounting = true,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(Some(flags))
    }
}

/// The configuration of a `sandboxd`.
#[derive(Debug)]
pub struct Config {
    /// The id of this boot, sent with every response.
    pub boot_id: String,
    /// A random id of this process that marks its commands. Not the boot id, which commands must
    /// not know.
    pub instance: String,
    /// The directory that clients know as `/workspace`.
    pub workspace: PathBuf,
    /// A directory that holds the workspace under its own name, if not the parent in its path.
    pub volume: Option<PathBuf>,
    /// The user that commands run as.
    pub user: User,
    /// The program that connects tunnels, if not in a system directory.
    pub cloudflared: Option<PathBuf>,
    /// The secret that every request must carry, if any.
    pub secret: Option<Secret>,
    /// The directories that files of clients may be in.
    pub file_roots: FileRoots,
    /// The languages whose kernels are kept ready.
    pub code_prewarm: Vec<String>,
    /// The limits in force.
    pub limits: Limits,
}

impl Config {
    /// Reads the environment. Fails when `SANDBOX_USER` is not a user of this system or cannot be
    /// switched to, and when a limit is not a number within its bounds.
    pub fn from_env(workspace: PathBuf, volume: Option<PathBuf>) -> io::Result<Self> {
        let boot_id = match env::var(sandboxd::BOOT_ID_ENV) {
            Ok(id) if !id.is_empty() => id,
            _ => random_id()?,
        };
        let user = match env::var(sandboxd::USER_ENV) {
            Ok(name) if !name.is_empty() => User::named(&name)?,
            _ => User::current(),
        };
        Ok(Self {
            boot_id,
            instance: random_id()?,
            workspace,
            volume,
            user,
            cloudflared: env::var_os(sandboxd::CLOUDFLARED_ENV)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            secret: env::var(sandboxd::SECRET_ENV).ok().and_then(Secret::new),
            file_roots: FileRoots::parse(&env::var(sandboxd::FILE_ROOTS_ENV).unwrap_or_default())
                .map_err(|e| io::Error::other(format!("{}: {e}", sandboxd::FILE_ROOTS_ENV)))?,
            code_prewarm: parse_prewarm(&env::var(sandboxd::CODE_PREWARM_ENV).unwrap_or_default())
                .ok_or_else(|| {
                    let name = sandboxd::CODE_PREWARM_ENV;
                    io::Error::other(format!(
                        "{name} must be names of languages with commas between them"
                    ))
                })?,
            limits: Limits::from_vars(|name| env::var(name).ok()).map_err(io::Error::other)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Flags>, String> {
        Flags::parse(lexopt::Parser::from_args(args)).map_err(|e| e.to_string())
    }

    #[test]
    fn flags() {
        let flags = parse(&[]).unwrap().unwrap();
        assert_eq!(flags.listen.to_string(), "0.0.0.0:28671");
        assert_eq!(flags.workspace, PathBuf::from("/workspace"));
        assert!(!flags.reserve_mounting);
        let flags = parse(&["--listen=127.0.0.1:0", "--workspace", "/w"])
            .unwrap()
            .unwrap();
        assert_eq!(flags.listen.to_string(), "127.0.0.1:0");
        assert_eq!(flags.workspace, PathBuf::from("/w"));
        assert!(parse(&["--reserve-mounting"]).unwrap().unwrap().reserve_mounting);
        assert_eq!(parse(&["--help"]), Ok(None));
        for bad in [
            &["--listen", "nowhere"][..],
            &["--port", "1"],
            &["extra"],
            &["--listen"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
