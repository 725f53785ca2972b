//! The contexts of a boot, by their ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_protocol::code::{ContextId, Language, LanguageList, Target};
use sandbox_protocol::{ContextRequest, Invalid};

use super::context::{Context, New, Shared};
use super::images::Images;
use super::plan::Plan;
use super::spec::{self, KernelSpec};
use crate::Error;
use crate::exec::Commands;
use crate::process::directory;
use crate::quota::Quota;
use crate::random::random_id;
use crate::threads::PATHS;

/// The contexts.
#[derive(Debug)]
pub struct Contexts {
    /// Starts their kernels, and enters their runs.
    pub commands: Arc<Commands>,
    by_id: Mutex<HashMap<ContextId, Arc<Context>>>,
    /// The parts that contexts share.
    pub shared: Shared,
    quota: Quota,
}

impl Contexts {
    /// No contexts yet.
    pub fn new(commands: Arc<Commands>) -> Self {
        Self {
            quota: Quota::new("contexts at a time", commands.config().limits.max_contexts),
            by_id: Mutex::default(),
            shared: Shared::default(),
            commands,
        }
    }

    /// Creates a context, unless the same request has created it before. Errors: 400, 409, 501 when there
    /// is no kernel for its language, 503 when there are too many contexts.
    pub async fn create(
        &self,
        request: ContextRequest,
        fingerprint: Option<u64>,
    ) -> Result<Arc<Context>, Error> {
        if let Some(existing) = self.existing(request.id.as_ref(), fingerprint)? {
            return Ok(existing);
        }
        if let Some(cwd) = &request.cwd {
            let path = directory::resolve(&self.commands.config().workspace, cwd);
            if !PATHS.run(move || path.is_dir()).await.map_err(Error::Exec)? {
                return Err(Invalid::request(format!("cwd is not a directory: {cwd}")).into());
            }
        }
        let new = New {
            plan: Plan {
                spec: self.spec(&request.language).await?,
                cwd: request.cwd,
                env: request.env,
            },
            id: match request.id {
                Some(id) => id,
                None => ContextId::parse(&random_id().map_err(Error::Exec)?)?,
            },
            fingerprint,
            is_default: false,
            language: request.language,
        };
        self.enter(new)
    }

    /// The context of a run. That of a language is created if there is none. Errors: 404, 410, and those of
    /// [`create`](Self::create).
    pub async fn target(&self, target: Target) -> Result<Arc<Context>, Error> {
        let language = match target {
            Target::Context(id) => {
                let context = self.find(id.as_str())?;
                context.check()?;
                return Ok(context);
            }
            Target::Language(language) => language.to_lowercase(),
        };
        let default = |context: &&Arc<Context>| context.is_default && context.language == language;
        let found = self.table().values().find(default).cloned();
        if let Some(context) = found {
            let usable = context.check();
            if usable.is_err() {
                // The request after this one creates another.
                self.remove(&context);
            }
            return usable.map(|()| context);
        }
        let plan = Plan::new(self.spec(&language).await?);
        let id = ContextId::parse(&format!("default-{}", language.replace(['+', '#'], "_")))?;
        let fingerprint = None;
        if let Some(context) = self.existing(Some(&id), fingerprint)? {
            return Ok(context);
        }
        self.enter(New {
            id,
            fingerprint,
            is_default: true,
            language,
            plan,
        })
    }

    fn enter(&self, new: New) -> Result<Arc<Context>, Error> {
        let permit = self.quota.take()?;
        let commands = &self.commands;
        let limit = commands.config().limits.max_session_queue;
        let queue = Quota::new("runs of a context", limit);
        let mut table = self.table();
        if let Some(existing) = found(&table, &new.id, new.fingerprint)? {
            return Ok(existing);
        }
        let images = Images::new(commands.buffers().clone());
        let context = Context::new(new, images, queue, self.shared.clone(), permit);
        let context = Arc::new(context);
        table.insert(context.id.clone(), Arc::clone(&context));
        Ok(context)
    }

    fn existing(
        &self,
        id: Option<&ContextId>,
        fingerprint: Option<u64>,
    ) -> Result<Option<Arc<Context>>, Error> {
        id.map_or(Ok(None), |id| found(&self.table(), id, fingerprint))
    }

    /// The context `id`. Error: 404.
    pub fn find(&self, id: &str) -> Result<Arc<Context>, Error> {
        let id = ContextId::parse(id)?;
        let found = self.table().get(&id).map(Arc::clone);
        found.ok_or_else(|| Error::ContextNotFound(id.to_string()))
    }

    /// Forgets a context. Returns whether it was there.
    pub fn remove(&self, context: &Arc<Context>) -> bool {
        let mut table = self.table();
        let is_there = table
            .get(&context.id)
            .is_some_and(|found| Arc::ptr_eq(found, context));
        is_there && table.remove(&context.id).is_some()
    }

    /// All contexts.
    pub fn all(&self) -> Vec<Arc<Context>> {
        self.table().values().map(Arc::clone).collect()
    }

    /// The languages for which there is a kernel.
    pub async fn languages(&self) -> Result<LanguageList, Error> {
        let language = |spec: KernelSpec| Language {
            version: self.shared.known_kernels.version(&spec.name),
            language: spec.language,
            kernel: spec.name,
        };
        let mut languages: Vec<_> = self.specs().await?.into_iter().map(language).collect();
        languages.sort_by(|a, b| (&a.language, &a.kernel).cmp(&(&b.language, &b.kernel)));
        Ok(LanguageList { languages })
    }

    async fn specs(&self) -> Result<Vec<KernelSpec>, Error> {
        let variables = self.commands.config().user.env.current();
        PATHS
            .run(move || spec::find(&variables))
            .await
            .map_err(Error::Exec)
    }

    /// The kernel for a language. Error: 501.
    pub async fn spec(&self, language: &str) -> Result<KernelSpec, Error> {
        let specs = self.specs().await?;
        if let Some(spec) = spec::choose(&specs, language) {
            return Ok(spec.clone());
        }
        let mut known: Vec<&str> = specs.iter().map(|spec| spec.language.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let known = if known.is_empty() {
            "it has no Jupyter kernels".to_owned()
        } else {
            format!("it has those for {}", known.join(", "))
        };
        let package = match language {
            "python" => " (for Python, the package ipykernel)",
            _ => "",
        };
        Err(Error::NotSupported(format!(
            "the sandbox has no Jupyter kernel for {language}{package}; {known}"
        )))
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ContextId, Arc<Context>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found(
    table: &HashMap<ContextId, Arc<Context>>,
    id: &ContextId,
    fingerprint: Option<u64>,
) -> Result<Option<Arc<Context>>, Error> {
    match table.get(id) {
        None => Ok(None),
        Some(found) if found.fingerprint == fingerprint => Ok(Some(Arc::clone(found))),
        Some(_) => Err(Error::ContextExists(id.to_string())),
    }
}
