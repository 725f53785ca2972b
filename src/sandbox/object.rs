//! The Durable Object class of a sandbox. It only holds the [`Core`].
#![allow(missing_docs, reason = "the durable_object macro makes methods without docs")]

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use futures_util::lock::Mutex;
use sandbox_protocol::SandboxId;
use worker::{DurableObject, Env, State};
use worker_macros::durable_object;

use super::record::Records;
use super::runtime::Runtime;
use super::s3::Signer;
use super::stored_list::StoredList;
use super::tunnel::Tunnels;
use super::{Core, exposure, grant, sleep};
use crate::config::Config;
use crate::error::ApiError;
use crate::response;

/// The Durable Object class.
#[durable_object(alarm)]
pub struct Sandbox {
    state: State,
    env: Env,
    core: RefCell<Option<Rc<Core>>>,
}

impl DurableObject for Sandbox {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            core: RefCell::new(None),
        }
    }

    async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let response = match self.core() {
            Ok(core) => {
                let restores = core.restores.get();
                let response = core.handle(request.inner()).await;
                response.and_then(|response| core.add_restored_headers(restores, response))
            }
            Err(e) => Err(e),
        };
        response::object_response(response)
    }

    async fn alarm(&self) -> worker::Result<worker::Response> {
        let core = self.core().map_err(|e| e.body().error)?;
        sleep::alarm(&core).await;
        worker::Response::empty()
    }
}

impl Sandbox {
    /// Built by the first request, because the constructor cannot fail, but a variable can be
    /// invalid.
    fn core(&self) -> Result<Rc<Core>, ApiError> {
        if let Some(core) = self.core.borrow().as_ref() {
            return Ok(core.clone());
        }
        let name = self
            .state
            .id()
            .name()
            .ok_or_else(|| ApiError::Internal("the object has no name".into()))?;
        let id = SandboxId::parse(&name)?;
        let config = Config::from_env(&self.env)?;
        let core = Rc::new(Core {
            runtime: Runtime::new(&config, &self.state, &id)?,
            id,
            env: self.env.clone(),
            config,
            storage: self.state.storage(),
            lifecycle: RefCell::default(),
            transition: RefCell::default(),
            alarm_lock: Mutex::default(),
            exit: RefCell::default(),
            uses: Cell::default(),
            tunnels: Tunnels::default(),
            grants: StoredList::new(grant::KEY),
            exposures: StoredList::new(exposure::KEY),
            signer: Signer::default(),
            records: Records::default(),
            permit_lock: Mutex::default(),
            has_expired: Cell::default(),
            store: OnceCell::default(),
            save_lock: Mutex::default(),
            environment_lock: Mutex::default(),
            skips_restore: Cell::default(),
            restores: Cell::default(),
            last_restored: RefCell::default(),
            asleep: RefCell::default(),
        });
        *self.core.borrow_mut() = Some(core.clone());
        Ok(core)
    }
}
