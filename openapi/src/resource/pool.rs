//! The warm pool.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::answer::Done;
use sandbox_protocol::pool::PoolStats;
use sandbox_protocol::route_table;
use serde_json::json;

use crate::answer::Answer;
use crate::operation::Operation;

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
            route_table::Operation::GetPoolStats,
            "Get the pool's statistics",
        )
        .text("Counts the warm sandboxes, which run and wait, and the assigned ones, which run for clients. All counts are 0 while \
                 the pool is off.")
        .answers(200, Answer::json::<PoolStats>("Statistics of the pool", stats)),
        on_pool(route_table::Operation::PrimePool, "Fill the warm pool")
            .text("Makes the pool start its missing sandboxes now. Has no effect while the pool is off.")
            .answers(200, Answer::json::<Done>("Pool is filling up", json!({ "ok": true }))),
        on_pool(
            route_table::Operation::ShutdownPrewarmed,
            "Empty the warm pool",
        )
        .text("Stops the warm sandboxes. A pool that is on fills up again at its next check.")
        .answers(
            200,
            Answer::json::<Done>("Warm sandboxes are stopped", json!({ "ok": true })),
        ),
    ]
}

fn on_pool(operation: route_table::Operation, summary: &'static str) -> Operation {
    Operation::new(operation, TAG, summary).fails(
        503,
        ErrorCode::SandboxUnavailable,
        "the WarmPool object did not answer: Network connection lost.",
    )
}
