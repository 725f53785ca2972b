//! What breaks in use, broken on purpose: clients that leave, a `sandboxd` that is killed, requests in any order.

mod disconnects;
mod kills;
mod model;
mod op;

use sandbar_tests::shared::{bridge, client, eventually, sandbox};
