//! The sender of a request, as the platform tells it.

use js_sys::Reflect;
use worker::{Context, worker_sys};

/// The property of a request's context that names the sandbox that it comes from. Only this Worker
/// can set it.
pub const SANDBOX_PROP: &str = "sandbox";

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A client, or anything else that can reach the Worker from outside.
    External,
    /// The container of this sandbox, whatever runs in it. The platform routed the request here,
    /// and it may only reach the sandbox's own mounts: without this restriction, a container would
    /// be inside a bridge without a key.
    Container(String),
}

impl Caller {
    /// The sender of the request with this context.
    pub fn from_context(context: &Context) -> Self {
        let context: &worker_sys::Context = context.as_ref();
        let props = Reflect::get(context, &"props".into()).unwrap_or_default();
        match Reflect::get(&props, &SANDBOX_PROP.into())
            .ok()
            .and_then(|id| id.as_string())
        {
            Some(id) => Self::Container(id),
            None => Self::External,
        }
    }
}
