//! The Durable Object class of the index. It only holds the open [`Shard`].
#![allow(missing_docs, reason = "the durable_object macro makes methods without docs")]

use std::cell::OnceCell;

use worker::{DurableObject, Env, State};
use worker_macros::durable_object;

use super::Shard;
use super::store::Store;
use crate::error::ApiError;
use crate::response;

/// The Durable Object class.
#[durable_object(fetch)]
pub struct SandboxIndex {
    state: State,
    shard: OnceCell<Shard>,
}

impl DurableObject for SandboxIndex {
    fn new(state: State, _env: Env) -> Self {
        Self {
            state,
            shard: OnceCell::new(),
        }
    }

    async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let response = match self.open() {
            Ok(shard) => shard.handle(request.inner()).await,
            Err(e) => Err(e),
        };
        response::object_response(response)
    }
}

impl SandboxIndex {
    /// Opened by the first request: a list asks all shards at once, and the tables exist then.
    fn open(&self) -> Result<&Shard, ApiError> {
        if let Some(shard) = self.shard.get() {
            return Ok(shard);
        }
        let store = Store::open(self.state.storage().sql())?;
        Ok(self.shard.get_or_init(|| Shard { store }))
    }
}
