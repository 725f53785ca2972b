//! The program that connects tunnels, and its command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sandbox_protocol::Port;
use sandbox_protocol::sandboxd::CLOUDFLARED_ENV;

use crate::process::program::Program;
use crate::user::SYSTEM_PATH;

/// The variable that `cloudflared` reads the token of a named tunnel from. Unlike a command line,
/// it can be read only by the process's own user: root, where commands are not.
const TOKEN: &str = "TUNNEL_TOKEN";

/// A home directory without a configuration: it does not exist.
const HOME: &str = "/nonexistent";

/// The error for a sandbox without `cloudflared`.
const MISSING: &str = "\
cloudflared is not installed in the sandbox. Add it to the last stage of the Dockerfile with `COPY \
--from=cloudflare/cloudflared:latest /usr/local/bin/cloudflared /usr/local/bin/` and deploy; under `npm start`, put it \
into /usr/local/bin of this machine";

/// The path of `cloudflared`, or an error that says how to install it. It runs as sandboxd's user,
/// so it is not looked for in the image's own `PATH`, which begins with a directory that commands
/// can write to.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, String> {
    let name = configured.map_or_else(|| "cloudflared".into(), Path::to_string_lossy);
    let found =
        Program::resolve(&[name.into_owned()], SYSTEM_PATH, Path::new("/")).map(|program| program.path);
    found.map_err(|error| match configured {
        Some(_) => format!("{CLOUDFLARED_ENV} names no program: {}", error.message),
        None => MISSING.to_owned(),
    })
}

/// The command line that opens a quick tunnel to `port`, or runs the named one of the token in its
/// environment. Metrics are served on a free port, which is announced.
pub fn command(file: PathBuf, quick: Option<Port>) -> Program<'static> {
    let mut argv = vec![
        "cloudflared",
        "tunnel",
        "--no-autoupdate",
        "--metrics",
        "127.0.0.1:0",
    ]
    .into_iter()
    .map(Into::into)
    .collect::<Vec<_>>();
    match quick {
        // This name reaches a server on any loopback address.
        Some(port) => argv.extend(["--url".into(), format!("http://localhost:{port}").into()]),
        None => argv.push("run".into()),
    }
    Program { path: file, argv }
}

/// The environment of `cloudflared`: the image's variables, so that an operator can set `TUNNEL_…`
/// variables there, but none that belong to the commands' user.
pub fn env(base: &BTreeMap<OsString, OsString>, token: Option<&str>) -> BTreeMap<OsString, OsString> {
    let mut env = base.clone();
    for name in ["USER", "LOGNAME", TOKEN] {
        env.remove(std::ffi::OsStr::new(name));
    }
    env.insert("PATH".into(), SYSTEM_PATH.into());
    env.insert("HOME".into(), HOME.into());
    if let Some(token) = token {
        env.insert(TOKEN.into(), token.into());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let argv = |quick| command("/c".into(), quick).argv.join(" ");
        assert_eq!(
            argv(Some(Port::parse("8080").unwrap())),
            "cloudflared tunnel --no-autoupdate --metrics 127.0.0.1:0 --url http://localhost:8080"
        );
        assert_eq!(
            argv(None),
            "cloudflared tunnel --no-autoupdate --metrics 127.0.0.1:0 run"
        );
    }

    #[test]
    fn the_environment_is_the_images_and_not_the_commands_users() {
        let base = [
            ("HOME", "/home/sandbox"),
            ("PATH", "/home/sandbox/.local/bin:/bin"),
            ("TUNNEL_EDGE_IP_VERSION", "6"),
            ("TUNNEL_TOKEN", "another"),
            ("USER", "sandbox"),
        ];
        let base = base.map(|(name, value)| (name.into(), value.into())).into();
        let names = |token| {
            let env = env(&base, token);
            let name = |(name, value): (OsString, OsString)| {
                format!("{}={}", name.to_string_lossy(), value.to_string_lossy())
            };
            env.into_iter().map(name).collect::<Vec<_>>().join(" ")
        };
        let common = format!("HOME=/nonexistent PATH={SYSTEM_PATH} TUNNEL_EDGE_IP_VERSION=6");
        assert_eq!(names(None), common);
        assert_eq!(names(Some("t")), format!("{common} TUNNEL_TOKEN=t"));
    }

    #[test]
    fn a_missing_program_is_an_error() {
        for (file, why) in [
            ("/nowhere/c", "No such file or directory"),
            ("/etc", "Is a directory"),
        ] {
            let error = find(Some(Path::new(file))).unwrap_err();
            assert_eq!(
                error,
                format!("SANDBOX_CLOUDFLARED names no program: {file}: {why}")
            );
        }
        assert_eq!(find(Some(Path::new("/bin/sh"))), Ok("/bin/sh".into()));
    }
}
