//! The process of a checkout: `sandboxd git-checkout`. It runs one git command after the other, as the
//! user of the sandbox.
//!
//! It blocks in them: it has no runtime and no other work.

mod checkout;
mod clone;
mod credential;
mod failure;
mod git;
mod update;
mod wanted;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sandbox_protocol::CheckoutRequest;

use self::checkout::Target;
use self::git::Git;
use super::control::{Control, Message};

/// The first argument of the driver. The directory and the request follow.
pub const CHECKOUT: &str = "git-checkout";

/// Runs the driver, or its credential helper, if the first argument of this process says so.
pub fn run() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let first = arguments.next()?;
    let ended = if first == CHECKOUT {
        check_out(arguments)
    } else if first == credential::HELPER {
        credential::help(arguments).map(|()| ExitCode::SUCCESS)
    } else {
        return None;
    };
    Some(ended.unwrap_or_else(|e| {
        eprintln!("sandboxd: {e}");
        ExitCode::FAILURE
    }))
}

fn check_out(mut arguments: impl Iterator<Item = OsString>) -> io::Result<ExitCode> {
    // First: from here on, no process of the same user reads the memory of this one, or takes its
    // descriptors.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut argument = || {
        arguments
            .next()
            .ok_or_else(|| io::Error::other("an argument is missing"))
    };
    let directory = PathBuf::from(argument()?);
    let json = argument()?.into_string();
    let json = json.map_err(|_| io::Error::other("the request is not UTF-8"))?;
    let request =
        CheckoutRequest::parse(json.as_bytes()).map_err(|e| io::Error::other(e.message().to_owned()))?;
    let control = Control::inherited()?;
    let git = Git::new(request.repo_url.clone(), control.auth()?, &directory)?;
    let fetched = || {
        // Only the reason of a timeout depends on it.
        let _ = control.send(&Message::Fetched);
    };
    let (message, code) = match Target::new(&git, &request, directory).check_out(fetched) {
        Ok(checkout) => (Message::Done(checkout), ExitCode::SUCCESS),
        Err(failure) => {
            if !failure.is_printed {
                eprintln!("{}", failure.body.error);
            }
            (Message::Failed(failure.body), ExitCode::FAILURE)
        }
    };
    control.send(&message)?;
    Ok(code)
}
