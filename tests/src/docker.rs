//! The containers of a bridge that runs on this machine, by Docker's own client.

use std::env;
use std::process::{Command, Output};

use crate::bridge::project_root;

fn run(arguments: &[&str]) -> Output {
    let client = env::var("WRANGLER_DOCKER_BIN").unwrap_or_else(|_| "docker".to_owned());
    Command::new(&client)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{client}: {e}"))
}

/// Runs `docker` with some arguments; returns its output.
pub fn docker(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Builds the image of the project under a name for tests, unless nothing has changed; its name.
pub fn image_of_the_project() -> &'static str {
    let name = "sandbar-test-base";
    let root = project_root();
    docker(&["build", "--quiet", "--tag", name, root.to_str().expect("UTF-8")]);
    name
}

/// The id of the container whose `sandboxd` was started with this boot id, if it runs.
pub fn container_of(boot_id: &str) -> Option<String> {
    let mark = format!("SANDBOX_BOOT_ID={boot_id}");
    let is_it = |id: &&str| {
        // Not `docker`: a container that ends meanwhile is no failure.
        let output = run(&["inspect", "--format", "{{.Config.Env}}", id]);
        String::from_utf8_lossy(&output.stdout).contains(&mark)
    };
    docker(&["ps", "--quiet"]).lines().find(is_it).map(str::to_owned)
}
