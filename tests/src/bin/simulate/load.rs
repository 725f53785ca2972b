//! Loads by the second.

/// The load of one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    now: Second,
    /// The most of each in a second.
    pub peak: Second,
    /// The sums of all seconds.
    pub total: Second,
}

/// The load in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// Requests.
    pub requests: u64,
    /// Requests that write.
    pub writes: u64,
    /// Rows written.
    pub rows: u64,
}

impl Load {
    /// Counts a request that writes nothing.
    pub fn read(&mut self) {
        self.now.requests += 1;
    }

    /// Counts a request that writes this number of rows.
    pub fn write(&mut self, rows: u32) {
        self.now.requests += 1;
        self.now.writes += 1;
        self.now.rows += u64::from(rows);
    }

    /// Ends a second.
    pub fn tick(&mut self) {
        let Second {
            requests,
            writes,
            rows,
        } = std::mem::take(&mut self.now);
        self.peak.requests = self.peak.requests.max(requests);
        self.peak.writes = self.peak.writes.max(writes);
        self.peak.rows = self.peak.rows.max(rows);
        self.total.requests += requests;
        self.total.writes += writes;
        self.total.rows += rows;
    }

    /// Forgets what was counted.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The load of Sandbox objects: the calls that each gets, and the requests of clients for it.
#[derive(Debug, Default)]
pub struct Objects {
    calls: Vec<u32>,
    own: Vec<u32>,
    alarms: Vec<u32>,
    /// The most calls that an object got in a second.
    pub peak: u32,
    /// The most requests of clients for one sandbox in a second.
    pub own_peak: u32,
    /// The objects that got more calls than their clients and their alarms made.
    pub exceeded: u64,
    /// All calls.
    pub total: u64,
}

impl Objects {
    /// Counts a client's request for a sandbox, which makes this number of calls of its object.
    pub fn request(&mut self, sandbox: usize, calls: u32) {
        self.reserve(sandbox);
        self.own[sandbox] += 1;
        self.calls[sandbox] += calls;
    }

    /// Counts an alarm.
    pub fn alarm(&mut self, sandbox: usize) {
        self.reserve(sandbox);
        self.calls[sandbox] += 1;
        self.alarms[sandbox] += 1;
    }

    fn reserve(&mut self, sandbox: usize) {
        for counts in [&mut self.calls, &mut self.own, &mut self.alarms] {
            if counts.len() <= sandbox {
                counts.resize(sandbox + 1, 0);
            }
        }
    }

    /// Ends a second.
    pub fn tick(&mut self) {
        for ((calls, own), alarms) in self.calls.iter_mut().zip(&mut self.own).zip(&mut self.alarms) {
            let (calls, own, alarms) = (std::mem::take(calls), std::mem::take(own), std::mem::take(alarms));
            self.peak = self.peak.max(calls);
            self.own_peak = self.own_peak.max(own);
            self.exceeded += u64::from(calls > own + alarms);
            self.total += u64::from(calls);
        }
    }

    /// Forgets what was counted.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_gets_more_than_its_own_requests_is_counted() {
        let mut objects = Objects::default();
        objects.request(1, 1);
        objects.alarm(1);
        objects.tick();
        assert_eq!((objects.peak, objects.own_peak, objects.exceeded), (2, 1, 0));
        objects.request(0, 2);
        objects.tick();
        assert_eq!((objects.exceeded, objects.total), (1, 4));
    }
}
