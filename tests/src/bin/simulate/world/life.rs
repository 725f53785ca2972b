//! The life of a sandbox: the calls of its object, of its clients and of the index.

use sandbox_protocol::SandboxId;

use super::{Ms, World, Write};
use crate::index::{Lost, Report};
use crate::usage::Change;

/// The time from a create to the start, as a part of a sandbox's life.
const START: f64 = 0.05;
/// The time from a create to the stop, as a part of a sandbox's life.
const STOP: f64 = 0.8;
/// `INDEX_RETRY_INTERVAL` by default.
pub const RETRY_MS: Ms = 30_000;
/// The time after which a call of a shard that does not answer has failed.
const CALL_TIMEOUT_MS: Ms = 5_000;
/// The time after which a client repeats a start that got 503.
const RETRY_AFTER_MS: Ms = 2_000;
/// The time within which clients and alarms come back to the objects of a region that was lost: those
/// who wait for it have backed off that far.
const BACKOFF_MS: Ms = 30_000;

/// A sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// The number of the region that its object is in.
    pub region: usize,
    created_ms: Ms,
    pub(super) changed_ms: Ms,
    pub(super) reported_ms: Ms,
    pub(super) change: Change,
    permit: Option<u32>,
    pub(super) is_running: bool,
}

/// Something that happens to the sandbox with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Create {
        slot: usize,
    },
    Start {
        sandbox: usize,
        until_ms: Ms,
        is_repeated: bool,
    },
    Stop {
        sandbox: usize,
    },
    Destroy {
        sandbox: usize,
        slot: usize,
    },
    Alarm {
        sandbox: usize,
    },
}

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        let sandbox = match event {
            Event::Create { slot } => return self.create(slot),
            Event::Start { sandbox, .. }
            | Event::Stop { sandbox }
            | Event::Destroy { sandbox, .. }
            | Event::Alarm { sandbox } => sandbox,
        };
        if let Some((region, until_ms)) = self.lost_region
            && self.sandboxes[sandbox].region == region
        {
            // The platform repeats alarms, and clients their requests, when the object is back.
            let at = until_ms + self.random.next() % BACKOFF_MS;
            return self.schedule(at, event);
        }
        match event {
            Event::Create { .. } => {}
            Event::Start {
                sandbox,
                until_ms,
                is_repeated,
            } => self.start(sandbox, until_ms, is_repeated),
            Event::Stop { sandbox } => self.stop(sandbox),
            Event::Destroy { sandbox, slot } => self.destroy(sandbox, slot),
            Event::Alarm { sandbox } => self.alarm(sandbox),
        }
    }

    fn create(&mut self, slot: usize) {
        let (now_ms, number) = (self.now_ms, self.sandboxes.len());
        let mean = f64::from(self.options.sandboxes) / f64::from(self.options.creates);
        let life = self.random.exponential(mean * 1000.0);
        let (id, region) = (self.random.id(), self.reachable_region());
        self.sandboxes.push(Sandbox {
            id,
            region,
            created_ms: now_ms,
            changed_ms: 0,
            reported_ms: 0,
            change: Change::Made,
            permit: None,
            is_running: false,
        });
        self.slots[slot] = Some(number);
        self.counts.created += 1;
        self.objects.request(number, 1);
        self.change(number, Change::Made);
        let at = |part: f64| now_ms + (life * part) as Ms;
        let until_ms = at(STOP);
        self.schedule(
            at(START),
            Event::Start {
                sandbox: number,
                until_ms,
                is_repeated: false,
            },
        );
        self.schedule(until_ms.max(at(START) + 1), Event::Stop { sandbox: number });
        let end = at(1.0).max(until_ms + 2);
        self.schedule(
            end,
            Event::Destroy {
                sandbox: number,
                slot,
            },
        );
        self.schedule(now_ms + RETRY_MS, Event::Alarm { sandbox: number });
    }

    /// A new object is never made in a region that is lost: its clients are elsewhere then.
    fn reachable_region(&mut self) -> usize {
        let mut region = self.region();
        while self.lost_region.is_some_and(|(lost, _)| lost == region) {
            region = self.region();
        }
        region
    }

    fn start(&mut self, number: usize, until_ms: Ms, is_repeated: bool) {
        if self.now_ms > until_ms || self.sandboxes[number].change == Change::Destroyed {
            return;
        }
        self.objects.request(number, 1);
        let first = u64::from(!is_repeated);
        self.counts.starts += first;
        match self.acquire(number) {
            Ok(true) => {
                self.sandboxes[number].is_running = true;
                self.change(number, Change::Changed);
                return;
            }
            Ok(false) => self.counts.refused_starts += first,
            Err(Lost) => self.counts.failed_starts += first,
        }
        let event = Event::Start {
            sandbox: number,
            until_ms,
            is_repeated: true,
        };
        self.schedule(self.now_ms + RETRY_AFTER_MS, event);
    }

    fn acquire(&mut self, number: usize) -> Result<bool, Lost> {
        let sandbox = &mut self.sandboxes[number];
        let (given, asked) = self.index.acquire(&sandbox.id, sandbox.permit)?;
        sandbox.permit = given;
        self.counts.asked += u64::from(asked);
        if given.is_some() {
            self.wrote(number, true);
        }
        Ok(given.is_some())
    }

    fn stop(&mut self, number: usize) {
        if !self.sandboxes[number].is_running {
            return;
        }
        self.objects.request(number, 1);
        self.end(number);
        self.change(number, Change::Changed);
    }

    fn destroy(&mut self, number: usize, slot: usize) {
        self.objects.request(number, 1);
        self.end(number);
        self.change(number, Change::Destroyed);
        let now_ms = self.now_ms;
        self.schedule(now_ms, Event::Create { slot });
    }

    /// Gives the permit back.
    fn end(&mut self, number: usize) {
        self.sandboxes[number].is_running = false;
        if self.release(number).is_err() {
            self.counts.lost_releases += 1;
            self.schedule(self.now_ms + RETRY_MS, Event::Alarm { sandbox: number });
        }
    }

    fn release(&mut self, number: usize) -> Result<(), Lost> {
        let sandbox = &mut self.sandboxes[number];
        if let Some(shard) = sandbox.permit {
            self.index.release(&sandbox.id, shard)?;
            sandbox.permit = None;
            self.wrote(number, true);
        }
        Ok(())
    }

    /// The alarm: it makes the report again, and gives the permit of a sandbox back that does not run.
    /// No sandbox of the simulation lives until its permit is renewed.
    fn alarm(&mut self, number: usize) {
        let sandbox = &self.sandboxes[number];
        let is_reported = sandbox.reported_ms >= sandbox.changed_ms;
        if sandbox.change == Change::Destroyed && is_reported && sandbox.permit.is_none() {
            return;
        }
        self.objects.alarm(number);
        if !self.sandboxes[number].is_running && self.release(number).is_err() {
            self.schedule(self.now_ms + RETRY_MS, Event::Alarm { sandbox: number });
        }
        self.report(number);
    }

    /// Changes the record of a sandbox.
    fn change(&mut self, number: usize, change: Change) {
        let sandbox = &mut self.sandboxes[number];
        sandbox.changed_ms = self.now_ms.max(sandbox.changed_ms + 1);
        sandbox.change = change;
        self.report(number);
    }

    fn report(&mut self, number: usize) {
        let sandbox = &mut self.sandboxes[number];
        let is_known = sandbox.reported_ms >= sandbox.changed_ms;
        let report = Report {
            id: &sandbox.id,
            created_ms: sandbox.created_ms,
            changed_ms: sandbox.changed_ms,
            change: sandbox.change,
            labels: self.options.labels,
        };
        match self.index.report(&report) {
            Ok(()) => {
                sandbox.reported_ms = sandbox.changed_ms;
                if !is_known {
                    self.wrote(number, false);
                }
            }
            Err(Lost) => {
                self.counts.lost_reports += 1;
                let at = self.now_ms + CALL_TIMEOUT_MS + RETRY_MS;
                self.schedule(at, Event::Alarm { sandbox: number });
            }
        }
    }

    fn wrote(&mut self, sandbox: usize, is_permit: bool) {
        self.writes.push(Write {
            second: u32::try_from((self.now_ms - self.measured_from_ms) / 1000).unwrap_or(u32::MAX),
            sandbox: u32::try_from(sandbox).unwrap_or(u32::MAX),
            is_permit,
        });
    }
}
