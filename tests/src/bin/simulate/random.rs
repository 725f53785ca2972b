//! Random numbers that are the same on every machine and in every run.

use sandbox_protocol::SandboxId;

/// A sequence of random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time whose mean is `mean`, as between events that do not know of each other.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// An id as the Worker makes them.
    pub fn id(&mut self) -> SandboxId {
        let bytes = u128::from(self.next()) << 64 | u128::from(self.next());
        SandboxId::from_random(bytes.to_be_bytes())
    }

    /// The index of a random number in weights that [`cumulative`] has added up.
    pub fn pick(&mut self, cumulative: &[f64]) -> usize {
        let total = cumulative.last().copied().unwrap_or_default();
        let wanted = self.unit() * total;
        cumulative
            .partition_point(|sum| *sum <= wanted)
            .min(cumulative.len() - 1)
    }
}

/// The sums of all weights up to each one.
pub fn cumulative(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let add = |sum: &mut f64, weight: f64| {
        *sum += weight;
        Some(*sum)
    };
    weights.into_iter().scan(0.0, add).collect()
}

/// Zipf's weights: the n-th one has 1 / n^exponent.
pub fn zipf(count: usize, exponent: f64) -> Vec<f64> {
    cumulative((1..=count).map(|n| (n as f64).powf(-exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next()]
        };
        assert_eq!(numbers(0), [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn means_and_weights() {
        let mut random = Random::new(1);
        let sum: f64 = (0..10_000).map(|_| random.exponential(10.0)).sum();
        assert!((95_000.0..105_000.0).contains(&sum), "{sum}");
        let weights = zipf(3, 1.0);
        let mut counts = [0; 3];
        for _ in 0..11_000 {
            counts[random.pick(&weights)] += 1;
        }
        for (count, expected) in counts.into_iter().zip([6000, 3000, 2000]) {
            assert!((expected - 200..expected + 200).contains(&count), "{counts:?}");
        }
    }
}
