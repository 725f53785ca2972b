//! Faults of real use, made on purpose: clients that leave, a `sandboxd` that is killed, requests
//! in any order.

mod disconnects;
mod frozen;
mod kills;
mod model;
mod op;
mod repeats;

use sandbar_tests::shared::{bridge, client, eventually, sandbox};
