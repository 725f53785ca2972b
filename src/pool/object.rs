//! The Durable Object class of the pool. It holds no state: see [`Pool`].
#![allow(missing_docs, reason = "the durable_object macro makes methods without docs")]

use worker::{DurableObject, Env, State};
use worker_macros::durable_object;

use super::Pool;
use super::store::Store;
use crate::config::Config;
use crate::error::ApiError;
use crate::response;

/// The Durable Object class.
#[durable_object(alarm)]
pub struct WarmPool {
    state: State,
    env: Env,
}

impl DurableObject for WarmPool {
    fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }

    async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let response = match self.open() {
            Ok(pool) => pool.handle(request.inner()).await,
            Err(e) => Err(e),
        };
        response::object_response(response)
    }

    async fn alarm(&self) -> worker::Result<worker::Response> {
        // An error makes the platform call the alarm again, with a growing delay.
        let pool = self.open().map_err(|e| e.body().error)?;
        pool.refill().await.map_err(|e| e.body().error)?;
        worker::Response::empty()
    }
}

impl WarmPool {
    fn open(&self) -> Result<Pool, ApiError> {
        let storage = self.state.storage();
        Ok(Pool {
            env: self.env.clone(),
            config: Config::from_env(&self.env)?,
            store: Store::open(storage.sql())?,
            storage,
        })
    }
}
