//! The log of a bridge of this machine, on a bridge of its own.

use sandbar_tests::{Bridge, Client};

use crate::eventually;

/// More than fill every pipe and buffer between the Worker and a reader, at some 150 bytes a line.
const REQUESTS: usize = 6000;

#[tokio::test]
async fn a_log_that_nobody_reads_stops_no_request() {
    let bridge = Bridge::start(&[]);
    let sandbox = Client::new(&bridge).create().await;
    bridge.log.pause(true);
    for _ in 0..REQUESTS {
        sandbox.running().await;
    }
    assert_eq!(sandbox.sh("echo on").await.text(), "on\n");
    bridge.log.pause(false);
    let told = || async {
        // The next line tells of those that were lost.
        sandbox.running().await;
        bridge.log.count(&["lines of the log were lost"]) == 1
    };
    eventually("the lost lines are counted", told).await;
    assert_eq!(sandbox.destroy().await, 204);
}
