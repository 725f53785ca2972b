//! The applications of web frameworks in `tests/frameworks/`, run in sandboxes.

use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http;

use crate::bridge::project_root;
use crate::preview::Preview;
use crate::process::ok;
use crate::{Process, Sandbox};

/// A form of the address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/v1/sandbox/{id}/port/{port}/…`, with the key.
    Path,
    /// The host of an exposed port, without the key.
    Host,
}

impl Form {
    /// Both forms.
    pub const ALL: [Self; 2] = [Self::Path, Self::Host];
}

/// An application that answers.
#[derive(Debug)]
pub struct Application {
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// Its port, which is exposed.
    pub port: u16,
    /// The address of its port.
    pub preview: Preview,
}

/// Copies a directory of the project into a directory of the workspace, `""` for the workspace itself.
/// Source maps and the parts of Next.js that resize images stay here: they are half of its bytes.
async fn copy(sandbox: &Sandbox, directory: &Path, path: &str) {
    assert!(
        directory.is_dir(),
        "{} is missing: scripts/test-clients makes it",
        directory.display()
    );
    let mut tar = Command::new("tar");
    tar.args(["--exclude=*.map", "--exclude=@img", "-cf", "-", "-C"]);
    let output = tar.arg(directory).arg(".").output().await.expect("tar");
    assert!(output.status.success(), "{output:?}");
    let request = sandbox.request(Method::POST, &format!("/hydrate?path=/workspace/{path}"));
    let answer = request.body(output.stdout).send().await;
    ok(answer.expect("an answer")).await;
}

/// Copies an application and its npm packages into the workspace.
pub async fn copy_node(sandbox: &Sandbox, name: &str) {
    let directory = project_root().join("tests/frameworks").join(name);
    let packages = directory.join("node_modules");
    assert!(
        packages.is_dir(),
        "the packages of {name} are missing: scripts/test-clients installs them"
    );
    copy(sandbox, &directory, "").await;
}

/// Copies the applications in Python into the workspace, and the packages for the Python of the
/// sandbox into `packages` of it.
pub async fn copy_python(sandbox: &Sandbox) {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version = sandbox.exec(&json!({ "argv": ["python3", "-c", script] })).await;
    let packages = project_root()
        .join(".tools/frameworks")
        .join(version.text().trim());
    copy(sandbox, &project_root().join("tests/frameworks/python"), "").await;
    copy(sandbox, &packages, "packages").await;
}

impl Application {
    /// Exposes a port, starts a command in the workspace, and waits until its server listens there and,
    /// if there is a `path`, answers a `GET` of it. Panics with the output of the command if it does not.
    pub async fn start(sandbox: &Sandbox, command: &str, port: u16, path: Option<&str>) -> Self {
        let preview = sandbox.expose(port, &json!({})).await;
        let (_, preview_host) = preview.authority.split_once('.').expect("the host of previews");
        let process = sandbox
            .start(&json!({
                "command": format!("exec {command}"),
                "env": {
                    "PYTHONPATH": "packages",
                    "NEXT_TELEMETRY_DISABLED": "1",
                    "PREVIEW_HOST": preview_host.split(':').next(),
                },
            }))
            .await;
        let mut wait = json!({ "timeout_ms": 120_000 });
        if let Some(path) = path {
            wait["path"] = path.into();
        }
        let answer = ok(sandbox.post(&format!("/port/{port}/wait"), &wait).await).await;
        if answer["state"] != "ready" {
            panic!("{command}: {answer}\n{}", log(&process).await);
        }
        Self {
            sandbox: sandbox.clone(),
            port,
            preview,
        }
    }

    /// The URL of the server's `/` as a client sees it, without that slash.
    pub fn url(&self, form: Form) -> String {
        match form {
            Form::Path => {
                let bridge = &self.sandbox.client.bridge.url;
                format!("{bridge}{}", self.prefix(form))
            }
            Form::Host => {
                let url = self.preview.answer["url"].as_str().expect("an address");
                url.trim_end_matches('/').to_owned()
            }
        }
    }

    /// The path of [`Self::url`].
    pub fn prefix(&self, form: Form) -> String {
        match form {
            Form::Path => format!("/v1/sandbox/{}/port/{}", self.sandbox.id, self.port),
            Form::Host => String::new(),
        }
    }

    /// A request that follows no redirect; `target` begins with a slash.
    pub fn request(&self, form: Form, method: Method, target: &str) -> RequestBuilder {
        if form == Form::Host {
            return self.preview.request(method, target);
        }
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        client
            .request(method, self.url(form) + target)
            .bearer_auth(&self.sandbox.client.bridge.key)
    }

    /// A `GET`.
    pub async fn get(&self, form: Form, target: &str) -> Response {
        let request = self.request(form, Method::GET, target);
        request.send().await.expect("an answer")
    }

    /// The text at an address, which must be 200.
    pub async fn text(&self, form: Form, target: &str) -> String {
        let response = self.get(form, target).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, 200, "{target} by {form:?}: {text}");
        text
    }

    /// A request for a WebSocket.
    pub fn upgrade(&self, form: Form, target: &str) -> http::Request<()> {
        if form == Form::Host {
            return self.preview.upgrade(target);
        }
        let url = self.url(form).replacen("http", "ws", 1) + target;
        let mut request = url.into_client_request().expect("a URL");
        let key = format!("Bearer {}", self.sandbox.client.bridge.key);
        let key = key.parse().expect("a header's value");
        request.headers_mut().insert("authorization", key);
        request
    }
}

/// The output of a process so far.
async fn log(process: &Process) -> String {
    String::from_utf8_lossy(&process.text("").await).into_owned()
}
