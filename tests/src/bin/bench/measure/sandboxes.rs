//! Sandboxes as their users manage them: creating one, showing one, the list, and tokens.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{
    CREATE, CREATE_SETTINGS, CREATE_SETTINGS_ABOVE, LIST_1K, RUNNING_KEY, SANDBOX, SANDBOX_ABOVE, TOKEN,
    TOKEN_ABOVE,
};
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, accepted, offered, send, time_of};
use crate::time::ms_since;
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 9] = [
    &CREATE,
    &CREATE_SETTINGS,
    &CREATE_SETTINGS_ABOVE,
    &RUNNING_KEY,
    &SANDBOX,
    &SANDBOX_ABOVE,
    &TOKEN,
    &TOKEN_ABOVE,
    &LIST_1K,
];

/// The sandboxes that are listed.
const LISTED: usize = 10_000;

/// The sandboxes that are created or destroyed at the same time.
const AT_ONCE: usize = 32;

/// Measures each kind of request once a round.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    let [create, with_settings, running, sandbox, with_token] =
        in_turns(&bench.sides, bench.rounds(300), async |side: &Side| {
            let running = format!("/v1/sandbox/{}/running", side.sandbox);
            [
                timed_create(side).await,
                create_with_settings(side).await,
                side.get(&running).await,
                show(side).await,
                with_token(side, &running).await,
            ]
        })
        .await;
    bench.add(&CREATE, create.clone());
    bench.add(&CREATE_SETTINGS, with_settings.clone());
    bench.add_beside(&CREATE_SETTINGS_ABOVE, (&with_settings, &create), Series::above);
    bench.add(&RUNNING_KEY, running.clone());
    bench.add(&SANDBOX, sandbox.clone());
    bench.add_beside(&SANDBOX_ABOVE, (&sandbox, &running), Series::above);
    bench.add(&TOKEN, with_token.clone());
    bench.add_beside(&TOKEN_ABOVE, (&with_token, &running), Series::above);
    if !bench.wants(&[&LIST_1K]) {
        return;
    }
    let mut listed = Vec::new();
    for side in &bench.sides {
        listed.push(fill(side).await);
    }
    let [list] = in_turns(&bench.sides, bench.rounds(20), async |side: &Side| {
        [list(side).await]
    })
    .await;
    bench.add(&LIST_1K, list);
    for (side, listed) in bench.sides.iter().zip(listed) {
        for ids in listed.into_iter().flatten().collect::<Vec<_>>().chunks(AT_ONCE) {
            let destroyed = ids.iter().map(|id| side.destroy(id));
            futures_util::future::join_all(destroyed).await;
        }
    }
}

async fn timed_create(side: &Side) -> Sample {
    let started = Instant::now();
    side.create().await?;
    Ok(ms_since(started))
}

fn create_labelled(side: &Side, label: &str) -> RequestBuilder {
    let body = json!({ "labels": { "bench": label }, "sleepAfter": "1h" });
    side.client.request(Method::POST, "/v1/sandbox").json(&body)
}

/// Creates a sandbox with settings: its id. A bridge without settings ignores them.
async fn create_id(side: &Side, label: &str) -> Result<String, Miss> {
    let created = accepted(send(create_labelled(side, label)).await?).await?;
    let created: Value = created.json().await.map_err(Miss::failed)?;
    let id = created["id"].as_str();
    id.map(str::to_owned)
        .ok_or(Miss::Failed(format!("no id in {created}")))
}

/// Milliseconds to create a sandbox with settings, which is then destroyed.
async fn create_with_settings(side: &Side) -> Sample {
    let started = Instant::now();
    let id = create_id(side, "one").await?;
    let took = ms_since(started);
    side.destroy(&id).await?;
    Ok(took)
}

async fn show(side: &Side) -> Sample {
    let request = || side.request(&side.sandbox, Method::GET, "");
    offered(send(request()).await?).await?;
    time_of(request()).await
}

async fn with_token(side: &Side, path: &str) -> Sample {
    let body = json!({ "scopes": ["exec"], "expiresIn": "10m" });
    let created = side.client.request(Method::POST, "/v1/token").json(&body);
    let created: Value = offered(send(created).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    let token = created["token"].as_str().unwrap_or_default();
    let url = format!("{}{path}", side.client.bridge.url);
    time_of(side.client.http.get(url).bearer_auth(token)).await
}

/// Creates the sandboxes that are listed: their ids.
async fn fill(side: &Side) -> Result<Vec<String>, Miss> {
    offered(send(side.client.request(Method::GET, "/v1/sandbox?limit=1")).await?).await?;
    let created = stream::iter(0..LISTED).map(|_| create_id(side, "list"));
    let created: Vec<_> = created.buffer_unordered(AT_ONCE).collect().await;
    created.into_iter().collect()
}

async fn list(side: &Side) -> Sample {
    side.get("/v1/sandbox?limit=1000&label=bench:list").await
}
