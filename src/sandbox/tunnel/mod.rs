//! Tunnels. `sandboxd` runs them; a named tunnel is first created at Cloudflare, for which only the
//! Worker has the token.
//!
//! - `sandboxd` is always asked for the open tunnel; the object does not remember it.
//! - A tunnel is recorded, with its boot, before it is created at Cloudflare, and removed when that
//!   boot ends: by the task that ends it, or by an alarm. A removal that fails is retried.
//! - One task at a time opens, closes or removes named tunnels. All its waits have a deadline, and
//!   so has the wait for the lock.

mod cloudflare;
mod record;

use std::rc::Rc;
use std::time::Duration;

use futures_util::lock::{Mutex, MutexGuard};
use sandbox_protocol::tunnel::{NamedTunnel, OpenTunnel, TunnelName};
use sandbox_protocol::{Port, TunnelRequest, sandboxd};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Request, Response};

use self::cloudflare::Cloudflare;
use self::record::Record;
use super::stored_list::StoredList;
use super::{Core, sleep};
use crate::connection_error::{self, Delivery};
use crate::deadline::within;
use crate::error::ApiError;
use crate::{response, stub};

/// The storage key of the object's records, as JSON.
const KEY: &str = "tunnels";

/// The time until the next check of records that could not be checked.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The time that `sandboxd` has to open or close a tunnel, without the start of a sandbox. To open
/// one takes up to 60 s.
const ASK_TIMEOUT: Duration = Duration::from_secs(75);

/// The time for which a request waits for the one before it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The named tunnels of a sandbox.
#[derive(Debug)]
pub struct Tunnels {
    lock: Mutex<()>,
    records: StoredList<Record>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            lock: Mutex::default(),
            records: StoredList::new(KEY),
        }
    }
}

impl Core {
    /// `POST` and `DELETE` of the tunnel to `port`.
    pub async fn tunnel(self: &Rc<Self>, port: Port, request: &Request) -> Result<Response, ApiError> {
        if request.method() == "DELETE" {
            return self.close_tunnel(port).await;
        }
        let body = stub::text(request.text()).await?;
        let Some(name) = TunnelRequest::parse(body.as_bytes())?.name else {
            let quick = serde_json::to_string(&OpenTunnel::default())?;
            let path = sandboxd::tunnel_url(port);
            return self.ask_in_time(&path, "POST", Some(&quick)).await;
        };
        self.open_named(port, name).await
    }

    async fn open_named(self: &Rc<Self>, port: Port, name: TunnelName) -> Result<Response, ApiError> {
        // Before a sandbox is started.
        let cloudflare = Cloudflare::new(&self.config.tunnel)?;
        let _guard = self.lock_tunnels().await?;
        let path = format!("{}?name={name}", sandboxd::tunnel_url(port));
        let found = self.ask_in_time(&path, "GET", None).await?;
        if found.status() != 204 {
            // It is open, under this name or another, or the program that runs it is missing.
            return Ok(found);
        }
        let zone = cloudflare.zone().await?;
        let mut record = Record {
            port,
            hostname: format!("{name}.{}", zone.name),
            account: zone.account,
            zone: zone.id,
            boot: boot_id(&found)?,
            failures: 0,
            name,
        };
        for old in self.tunnel_records().await? {
            if old.name == record.name && old.port != port && old.boot == record.boot {
                let (name, port) = (old.name, old.port);
                let message = format!("the name {name} belongs to port {port}; delete that tunnel first");
                return Err(ApiError::Tunnel(message));
            }
            if old.conflicts_with(&record) {
                self.remove_tunnel(old).await?;
            }
        }
        self.put_record(record.clone()).await?;
        sleep::set_alarm(self, record.next_attempt()).await;
        match self.provide(cloudflare, &record).await {
            Ok(opened) if opened.ok() => {
                // Usually the boot that was asked before, but that one may have ended meanwhile.
                record.boot = boot_id(&opened)?;
                self.put_record(record).await?;
                Ok(opened)
            }
            failed => {
                // A failed removal is retried; the client gets the error of the creation.
                let _ = self.remove_tunnel(record).await;
                failed
            }
        }
    }

    async fn provide(
        self: &Rc<Self>,
        cloudflare: Cloudflare<'_>,
        record: &Record,
    ) -> Result<Response, ApiError> {
        let provisioned = cloudflare.provision(&self.id, record).await?;
        let named = NamedTunnel {
            name: record.name.clone(),
            id: provisioned.id,
            hostname: record.hostname.clone(),
            token: provisioned.token,
        };
        let open = serde_json::to_string(&OpenTunnel { named: Some(named) })?;
        let path = sandboxd::tunnel_url(record.port);
        self.ask_in_time(&path, "POST", Some(&open)).await
    }

    async fn lock_tunnels(&self) -> Result<MutexGuard<'_, ()>, ApiError> {
        let what = "another request for a tunnel of this sandbox";
        within(LOCK_TIMEOUT, what, self.tunnels.lock.lock()).await
    }

    /// Sends a request to `sandboxd`, which is started if necessary. Error: that of
    /// [`connection_error::error`] after the timeout.
    async fn ask_in_time(
        self: &Rc<Self>,
        path: &str,
        method: &str,
        body: Option<&str>,
    ) -> Result<Response, ApiError> {
        let limit = self.config.start_timeout + ASK_TIMEOUT;
        let response = within(limit, "the tunnel's request", self.ask(path, method, body)).await;
        response.unwrap_or_else(|error| Err(unanswered(method, path, &error)))
    }

    async fn close_tunnel(self: &Rc<Self>, port: Port) -> Result<Response, ApiError> {
        let _guard = self.lock_tunnels().await?;
        let path = sandboxd::tunnel_url(port);
        let closed = self.ask_if_running(&path, "DELETE", None);
        let closed = within(ASK_TIMEOUT, "the tunnel's request", closed).await;
        let closed = closed.unwrap_or_else(|error| Err(unanswered("DELETE", &path, &error)))?;
        if let Some(closed) = closed
            && !closed.ok()
        {
            return Ok(closed);
        }
        for record in self.tunnel_records().await? {
            if record.port == port {
                self.remove_tunnel(record).await?;
            }
        }
        response::empty(204)
    }

    /// Removes the tunnels of boots that ended, and returns the time until the next sweep.
    pub async fn sweep_tunnels(&self) -> Option<Duration> {
        let swept = async {
            let _guard = self.lock_tunnels().await?;
            self.sweep().await
        };
        match swept.await {
            Ok(next) => next,
            Err(e) => {
                self.log("tunnels not checked", None, &e.body().error);
                Some(RETRY_INTERVAL)
            }
        }
    }

    async fn sweep(&self) -> Result<Option<Duration>, ApiError> {
        let records = self.tunnel_records().await?;
        if records.is_empty() {
            return Ok(None);
        }
        let boot = self.runtime.inspect().await?;
        let running = boot.as_ref().map(|boot| boot.id.as_str());
        for record in records {
            if record.is_orphaned(running) {
                // A failure is logged, and retried.
                let _ = self.remove_tunnel(record).await;
            }
        }
        Ok(self
            .tunnel_records()
            .await?
            .iter()
            .map(Record::next_attempt)
            .min())
    }

    /// Marks the tunnels of the boot with this id, which has ended, for removal, in the background.
    pub fn abandon_tunnels(self: &Rc<Self>, boot_id: String) {
        let core = self.clone();
        spawn_local(async move {
            let abandoned = core.abandon(Some(boot_id)).await;
            if let Err(e) = abandoned {
                core.log("tunnels not abandoned", None, &e.body().error);
            }
        });
    }

    /// Marks the tunnels of the boot with this id, or of all boots, for removal; waits until that
    /// is stored.
    pub async fn abandon(&self, boot_id: Option<String>) -> Result<(), ApiError> {
        let mut records = self.tunnel_records().await?;
        if records.is_empty() {
            return Ok(());
        }
        for record in &mut records {
            if boot_id.is_none() || record.boot == boot_id {
                record.boot = None;
            }
        }
        self.set_records(records).await?;
        // The alarm fires even if this object is evicted.
        sleep::set_alarm(self, Duration::ZERO).await;
        Ok(())
    }

    /// Removes a tunnel at Cloudflare. If that fails, an alarm retries it.
    async fn remove_tunnel(&self, mut record: Record) -> Result<(), ApiError> {
        let removed = match Cloudflare::new(&self.config.tunnel) {
            Ok(cloudflare) => cloudflare.remove(&self.id, &record).await,
            Err(e) => Err(e),
        };
        if let Err(e) = &removed {
            self.log("tunnel not removed", record.boot.as_deref(), &e.body().error);
            record.boot = None;
            record.failures = record.failures.saturating_add(1);
            let pause = record.next_attempt();
            self.put_record(record).await?;
            sleep::set_alarm(self, pause).await;
        } else {
            let mut records = self.tunnel_records().await?;
            records.retain(|old| old.name != record.name);
            self.set_records(records).await?;
        }
        removed
    }

    /// The tunnels that exist at Cloudflare, and those that are still to be removed there.
    pub async fn tunnel_records(&self) -> Result<Vec<Record>, ApiError> {
        self.tunnels.records.get(&self.storage, Record::read).await
    }

    /// Adds the record, or replaces the one of that name.
    async fn put_record(&self, record: Record) -> Result<(), ApiError> {
        let mut records = self.tunnel_records().await?;
        records.retain(|old| old.name != record.name);
        records.push(record);
        self.set_records(records).await
    }

    async fn set_records(&self, records: Vec<Record>) -> Result<(), ApiError> {
        let json = serde_json::to_string(&records)?;
        self.tunnels.records.set(&self.storage, records, json).await
    }
}

/// The error of a request without a response in time: it may have been carried out.
fn unanswered(method: &str, path: &str, error: &ApiError) -> ApiError {
    connection_error::error(method, path, Delivery::Unknown, error.body().error)
}

fn boot_id(response: &Response) -> Result<Option<String>, ApiError> {
    Ok(response.headers().get(sandboxd::BOOT_ID_HEADER)?)
}
