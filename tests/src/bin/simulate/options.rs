//! The options of a simulation.

/// The deployment to simulate, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The sandboxes at a time.
    pub sandboxes: u32,
    /// The sandboxes that are created in a second.
    pub creates: u32,
    /// The requests in a second.
    pub requests: u32,
    /// The lists in a second.
    pub lists: u32,
    /// The seconds that are measured.
    pub seconds: u32,
    /// `INDEX_SHARDS`.
    pub shards: u32,
    /// `MAX_SANDBOXES`.
    pub max_sandboxes: u32,
    /// The labels of each sandbox.
    pub labels: u32,
    /// The exponent of Zipf's weights.
    pub skew: f64,
    /// The seed of all random numbers.
    pub seed: u64,
}
