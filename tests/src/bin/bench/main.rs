//! `npm run bench`: the numbers that the project promises, measured on this machine, beside their limits.
//!
//! Uses the bridge that `BASE_URL` and `SANDBOX_API_KEY` name, or starts one. Nothing here fails on a slow machine.

mod http;
mod report;
mod sandboxd;
mod size;

use report::Report;
use sandbar_tests::{Bridge, Client};

#[tokio::main]
async fn main() {
    let mut report = Report::default();
    size::measure(&mut report);
    let bridge = Bridge::from_env();
    if bridge.is_local {
        sandboxd::measure(&mut report).await;
    }
    http::measure(&mut report, &Client::new(&bridge)).await;
    report.print();
}
