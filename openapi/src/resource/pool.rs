//! The warm pool.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::answer::Done;
use sandbox_protocol::pool::PoolStats;
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Method, Operation};

const TAG: &str = "Warm pool";

pub fn operations() -> Vec<Operation> {
    let stats = json!({
        "warm": 2,
        "assigned": 3,
        "total": 5,
        "config": { "warmTarget": 2, "refreshInterval": 10_000 },
        "maxInstances": 20,
    });
    vec![
        on_pool(
            "getPoolStats",
            Method::Get,
            "/v1/pool/stats",
            "Count the sandboxes",
        )
        .text("Sandboxes that run and wait, and that run for clients. All 0 while the pool is off.")
        .answers(200, Answer::json::<PoolStats>("The pool now", stats)),
        on_pool("primePool", Method::Post, "/v1/pool/prime", "Fill the pool")
            .text("The pool fills up from now on. Nothing happens while it is off.")
            .answers(200, Answer::json::<Done>("It fills up", json!({ "ok": true }))),
        on_pool(
            "shutdownPrewarmed",
            Method::Post,
            "/v1/pool/shutdown-prewarmed",
            "Empty the pool",
        )
        .text("Stops the sandboxes that wait. A pool that is on fills up again at its next look.")
        .answers(
            200,
            Answer::json::<Done>("They are stopped", json!({ "ok": true })),
        ),
    ]
}

fn on_pool(id: &'static str, method: Method, path: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, method, path, TAG, summary).fails(
        503,
        ErrorCode::SandboxUnavailable,
        "the WarmPool object did not answer: Network connection lost.",
    )
}
