//! `GET /v1/pool/stats`.

use sandbox_protocol::pool::{PoolStats, PoolStatsConfig};
use web_sys::Response;

use super::Pool;
use crate::error::ApiError;
use crate::response;

impl Pool {
    /// 200 with the counts of sandboxes, and the limits.
    pub(super) fn stats(&self) -> Result<Response, ApiError> {
        let known = self.known()?;
        // Sandboxes do not report to a pool that is off.
        let assigned = if self.config.pool.is_on() {
            known.counts.assigned
        } else {
            0
        };
        let stats = PoolStats {
            warm: known.counts.ready,
            assigned,
            total: known.counts.ready + assigned,
            config: PoolStatsConfig {
                warm_target: known.target,
                refresh_interval: known.interval_ms,
            },
            max_instances: known.ceiling(),
        };
        response::json(200, &stats)
    }
}
