//! Checkouts: a repository that a server in the sandbox has, beside the time that git takes for the
//! same in a command.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{GIT_CHECKOUT, GIT_CLONE, GIT_SHARE};
use crate::series::{Miss, Sample};
use crate::side::{Side, accepted, offered, send};
use crate::time::ms_since;
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 3] = [&GIT_CHECKOUT, &GIT_CLONE, &GIT_SHARE];

/// Makes the repository: 2,000 files of 4 KB in 20 directories.
const MAKE: &str = r#"
rm -rf /tmp/bench.git /tmp/work && git init -q -b main /tmp/work && cd /tmp/work &&
for d in $(seq 20); do mkdir $d; for f in $(seq 100); do head -c 3000 /dev/urandom | base64 >$d/$f; done; done &&
git add . && git -c user.name=b -c user.email=b@example.com commit -q -m bench &&
git clone -q --bare . /tmp/bench.git && git -C /tmp/bench.git repack -q -a -d && rm -rf /tmp/work &&
mkdir -p /tmp/served/cgi-bin && cat >/tmp/served/cgi-bin/git <<'END' && chmod 755 /tmp/served/cgi-bin/git
#!/bin/sh
export GIT_PROJECT_ROOT=/tmp GIT_HTTP_EXPORT_ALL=1 GIT_CONFIG_COUNT=1
export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
exec git http-backend
END
"#;

/// Serves it by git's own program.
const SERVE: &str = "cd /tmp/served && exec python3 -m http.server --cgi 18235 >/dev/null 2>&1";

const URL: &str = "http://127.0.0.1:18235/cgi-bin/git/bench.git";

/// Measures checkouts.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    let mut failed = None;
    for side in &bench.sides {
        failed = failed.or(serve(side).await.err());
    }
    let [checkout, clone] = in_turns(
        &bench.sides,
        bench.rounds(20),
        async |side: &Side| match &failed {
            Some(miss) => [Err(miss.clone()), Err(miss.clone())],
            None => [checkout(side).await, clone(side).await],
        },
    )
    .await;
    bench.add(&GIT_CHECKOUT, checkout.clone());
    bench.add(&GIT_CLONE, clone.clone());
    bench.add_beside(&GIT_SHARE, (&checkout, &clone), |checkout, clone| {
        checkout.beside(clone, Unit::Times, |checkout, clone| checkout / clone)
    });
}

/// Makes the repository and its server, unless the bridge has no checkouts.
async fn serve(side: &Side) -> Result<(), Miss> {
    side.exec(&side.sandbox).run(&["bash", "-c", MAKE]).await?;
    let process = side.request(&side.sandbox, Method::POST, "/process");
    let process = process.json(&json!({ "id": "bench-git", "command": SERVE }));
    offered(send(process).await?).await?;
    let wait = side.request(&side.sandbox, Method::POST, "/process/bench-git/wait");
    let wait = wait.json(&json!({ "for": "port", "port": 18235, "path": "/", "timeout_ms": 30_000 }));
    accepted(send(wait).await?).await.map(drop)
}

/// Milliseconds of a checkout into a new directory.
async fn checkout(side: &Side) -> Sample {
    side.exec(&side.sandbox).run(&["rm", "-rf", "bench"]).await?;
    let request = side.request(&side.sandbox, Method::POST, "/git/checkout");
    let request = request.json(&json!({ "repoUrl": URL }));
    let started = Instant::now();
    let response = offered(send(request).await?).await?;
    let checkout: Value = response.json().await.map_err(Miss::failed)?;
    let took = ms_since(started);
    if checkout["success"] == true {
        Ok(took)
    } else {
        Err(Miss::Failed(checkout.to_string()))
    }
}

/// Milliseconds of `git clone` in a command.
async fn clone(side: &Side) -> Sample {
    let exec = side.exec(&side.sandbox);
    exec.run(&["rm", "-rf", "bench"]).await?;
    exec.time(&["git", "clone", "--quiet", URL]).await
}
