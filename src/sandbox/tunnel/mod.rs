//! Tunnels. `sandboxd` runs them; a named one is first made at Cloudflare, which only this side has the key for.
//!
//! - The open tunnel is always asked of `sandboxd`, never remembered.
//! - What is made at Cloudflare is written down first, with the boot that it is for, and taken away when that boot ends:
//!   by whoever ends it, or by an alarm. What cannot be taken away is tried again.
//! - One at a time opens, closes or takes away named tunnels.

mod cloudflare;
mod record;

use std::rc::Rc;
use std::time::Duration;

use futures_util::lock::Mutex;
use sandbox_protocol::tunnel::{NamedTunnel, OpenTunnel, TunnelName};
use sandbox_protocol::{Port, TunnelRequest, sandboxd};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Request, Response};

use self::cloudflare::Cloudflare;
use self::record::Record;
use super::stored::StoredList;
use super::{Core, sleep};
use crate::error::ApiError;
use crate::{response, stub};

/// Where the object remembers its records, as JSON.
const KEY: &str = "tunnels";

/// When to look at the records again that could not be looked at.
const AGAIN: Duration = Duration::from_secs(60);

/// The named tunnels of a sandbox.
#[derive(Debug)]
pub struct Tunnels {
    turn: Mutex<()>,
    records: StoredList<Record>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            turn: Mutex::default(),
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
            return self.ask(&sandboxd::tunnel_url(port), "POST", Some(&quick)).await;
        };
        self.open_named(port, name).await
    }

    async fn open_named(self: &Rc<Self>, port: Port, name: TunnelName) -> Result<Response, ApiError> {
        // Before a sandbox is woken.
        let cloudflare = Cloudflare::new(&self.config.tunnel)?;
        let _turn = self.tunnels.turn.lock().await;
        let path = format!("{}?name={name}", sandboxd::tunnel_url(port));
        let found = self.ask(&path, "GET", None).await?;
        if found.status() != 204 {
            // It is open, under this name or another, or there is nothing to run it with.
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
                let words = format!("the name {name} belongs to port {port}; delete that tunnel first");
                return Err(ApiError::Tunnel(words));
            }
            if old.is_in_the_way_of(&record) {
                self.take_away(old).await?;
            }
        }
        self.put_record(record.clone()).await?;
        sleep::set_alarm(self, record.pause()).await;
        match self.provide(cloudflare, &record).await {
            Ok(opened) if opened.ok() => {
                // Usually the one that was asked before, but that may have ended meanwhile.
                record.boot = boot_id(&opened)?;
                self.put_record(record).await?;
                Ok(opened)
            }
            failed => {
                // What remains is tried again; the client is told of the failure that matters.
                let _ = self.take_away(record).await;
                failed
            }
        }
    }

    async fn provide(
        self: &Rc<Self>,
        cloudflare: Cloudflare<'_>,
        record: &Record,
    ) -> Result<Response, ApiError> {
        let made = cloudflare.provide(&self.id, record).await?;
        let named = NamedTunnel {
            name: record.name.clone(),
            id: made.id,
            hostname: record.hostname.clone(),
            token: made.token,
        };
        let open = serde_json::to_string(&OpenTunnel { named: Some(named) })?;
        self.ask(&sandboxd::tunnel_url(record.port), "POST", Some(&open))
            .await
    }

    async fn close_tunnel(self: &Rc<Self>, port: Port) -> Result<Response, ApiError> {
        let _turn = self.tunnels.turn.lock().await;
        if self.runtime.inspect().await?.is_some() {
            let closed = self.ask(&sandboxd::tunnel_url(port), "DELETE", None).await?;
            if !closed.ok() {
                return Ok(closed);
            }
        }
        for record in self.tunnel_records().await? {
            if record.port == port {
                self.take_away(record).await?;
            }
        }
        response::empty(204)
    }

    /// Takes away what is left of boots that ended, and says when to do so again.
    pub async fn sweep_tunnels(&self) -> Option<Duration> {
        let _turn = self.tunnels.turn.lock().await;
        match self.sweep().await {
            Ok(next) => next,
            Err(e) => {
                self.log("tunnels not looked at", None, &e.body().error);
                Some(AGAIN)
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
            if record.is_left_over(running) {
                // A failure was logged, and it is tried again.
                let _ = self.take_away(record).await;
            }
        }
        Ok(self.tunnel_records().await?.iter().map(Record::pause).min())
    }

    /// The boot with this id, or whichever there was, has ended: nothing is behind its tunnels any more.
    pub fn abandon_tunnels(self: &Rc<Self>, boot_id: Option<String>) {
        let core = self.clone();
        spawn_local(async move {
            let abandoned = core.abandon(boot_id).await;
            if let Err(e) = abandoned {
                core.log("tunnels not given up", None, &e.body().error);
            }
        });
    }

    async fn abandon(&self, boot_id: Option<String>) -> Result<(), ApiError> {
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
        // By the alarm, which comes even if this object is evicted.
        sleep::set_alarm(self, Duration::ZERO).await;
        Ok(())
    }

    /// Removes a tunnel at Cloudflare. If that fails, an alarm tries again.
    async fn take_away(&self, mut record: Record) -> Result<(), ApiError> {
        let removed = match Cloudflare::new(&self.config.tunnel) {
            Ok(cloudflare) => cloudflare.remove(&self.id, &record).await,
            Err(e) => Err(e),
        };
        if let Err(e) = &removed {
            self.log("tunnel not removed", record.boot.as_deref(), &e.body().error);
            record.boot = None;
            record.failures = record.failures.saturating_add(1);
            let pause = record.pause();
            self.put_record(record).await?;
            sleep::set_alarm(self, pause).await;
        } else {
            let mut records = self.tunnel_records().await?;
            records.retain(|old| old.name != record.name);
            self.set_records(records).await?;
        }
        removed
    }

    async fn tunnel_records(&self) -> Result<Vec<Record>, ApiError> {
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

fn boot_id(response: &Response) -> Result<Option<String>, ApiError> {
    Ok(response.headers().get(sandboxd::BOOT_ID_HEADER)?)
}
