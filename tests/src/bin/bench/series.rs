//! The samples of one line on one bridge, and their statistics. Nothing is trimmed: an outlier
//! counts like the rest.

use std::fmt;

use crate::line::Unit;

/// Why a sample is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Miss {
    /// The bridge does not have what is measured.
    NotOffered,
    /// The quantity cannot be observed from here; the reason.
    Unobservable(&'static str),
    /// The measurement failed; the message.
    Failed(String),
}

impl Miss {
    /// A failure with the message of `e`.
    pub fn failed(e: impl fmt::Display) -> Self {
        Self::Failed(e.to_string())
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOffered => "not offered",
            Self::Unobservable(why) => why,
            Self::Failed(why) => why,
        })
    }
}

/// One number, or why there is none.
pub type Sample = Result<f64, Miss>;

/// The number of failures without a sample after which a line is given up.
const MAX_FAILURES: usize = 3;

/// The samples of one line on one bridge.
#[derive(Debug, Clone, Default)]
pub struct Series {
    samples: Vec<f64>,
    /// How many times it went wrong, warm-up included.
    pub errors: usize,
    /// Why the first sample that is missing is missing.
    pub miss: Option<Miss>,
}

impl Series {
    /// A series of these samples, without a failure.
    pub fn from_samples(samples: Vec<f64>) -> Self {
        Self {
            samples,
            ..Self::default()
        }
    }

    /// A series of a quantity that cannot be measured.
    pub fn without(miss: Miss) -> Self {
        let mut series = Self::default();
        series.add(Err(miss));
        series
    }

    /// Adds a sample.
    pub fn add(&mut self, sample: Sample) {
        match sample {
            Ok(sample) => self.samples.push(sample),
            Err(miss) => {
                self.errors += usize::from(matches!(miss, Miss::Failed(_)));
                self.miss.get_or_insert(miss);
            }
        }
    }

    /// Takes a sample of the warm-up: only what is wrong with it counts.
    pub fn warm_up(&mut self, sample: Sample) {
        if sample.is_err() {
            self.add(sample);
        }
    }

    /// Whether more tries would be in vain.
    pub fn gave_up(&self) -> bool {
        match self.miss {
            Some(Miss::NotOffered | Miss::Unobservable(_)) => true,
            _ => self.samples.is_empty() && self.errors >= MAX_FAILURES,
        }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// The number that `percent` of the samples are not worse than (the nearest rank: always one of
    /// them).
    pub fn percentile(&self, percent: usize, unit: Unit) -> Option<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        if unit.more_is_better() {
            sorted.reverse();
        }
        let rank = (percent * sorted.len()).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }

    /// The median.
    pub fn median(&self, unit: Unit) -> Option<f64> {
        self.percentile(50, unit)
    }

    /// Each sample changed together with the median of `base`; nothing where `base` has none.
    pub fn beside(&self, base: &Self, unit: Unit, change: impl Fn(f64, f64) -> f64) -> Self {
        let Some(median) = base.median(unit) else {
            return Self {
                samples: Vec::new(),
                errors: base.errors,
                miss: base.miss.clone(),
            };
        };
        Self {
            samples: self
                .samples
                .iter()
                .map(|sample| change(*sample, median))
                .collect(),
            ..self.clone()
        }
    }

    /// How far each sample lies above the median of `base`.
    pub fn above(&self, base: &Self) -> Self {
        self.beside(base, Unit::Ms, |sample, base| sample - base)
    }
}

/// How much a number grows with another, by least squares. Nothing from fewer than two points.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let (mean_x, mean_y) = (
        points.iter().map(|p| p.0).sum::<f64>() / n,
        points.iter().map(|p| p.1).sum::<f64>() / n,
    );
    let spread: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let covariance: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    (points.len() >= 2 && spread > 0.0).then(|| covariance / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_worse_is_higher() {
        let series = Series::from_samples((1..=100).rev().map(f64::from).collect());
        let told = |unit| [50, 95, 99, 100].map(|percent| series.percentile(percent, unit).unwrap());
        assert_eq!(told(Unit::Ms), [50.0, 95.0, 99.0, 100.0]);
        assert_eq!(told(Unit::MbPerS), [51.0, 6.0, 2.0, 1.0]);
        let one = Series::from_samples(vec![7.0]);
        assert_eq!(
            (one.median(Unit::Ms), one.percentile(99, Unit::Ms)),
            (Some(7.0), Some(7.0))
        );
        assert_eq!(Series::default().median(Unit::Ms), None);
    }

    #[test]
    fn an_outlier_stays() {
        let series = Series::from_samples(vec![1.0, 1.0, 1000.0]);
        assert_eq!((series.len(), series.percentile(99, Unit::Ms)), (3, Some(1000.0)));
    }

    #[test]
    fn failures_are_counted_also_in_the_warm_up() {
        let mut series = Series::default();
        series.warm_up(Ok(9.0));
        series.warm_up(Err(Miss::Failed("first".into())));
        series.add(Err(Miss::Failed("second".into())));
        series.add(Ok(1.0));
        assert_eq!((series.len(), series.errors), (1, 2));
        assert_eq!(series.miss, Some(Miss::Failed("first".into())));
        assert!(!series.gave_up());
    }

    #[test]
    fn what_is_not_offered_is_no_error_and_not_tried_again() {
        let series = Series::without(Miss::NotOffered);
        assert!(series.gave_up());
        assert_eq!(series.errors, 0);
        let mut failing = Series::default();
        for _ in 0..MAX_FAILURES {
            assert!(!failing.gave_up());
            failing.add(Err(Miss::Failed("no".into())));
        }
        assert!(failing.gave_up());
    }

    #[test]
    fn above_is_against_the_median() {
        let (exec, health) = (
            Series::from_samples(vec![5.0, 6.0, 9.0]),
            Series::from_samples(vec![3.0, 2.0, 8.0]),
        );
        let above = exec.above(&health);
        assert_eq!(above.median(Unit::Ms), Some(3.0));
        assert_eq!(above.percentile(99, Unit::Ms), Some(6.0));
        let nothing = exec.above(&Series::without(Miss::NotOffered));
        assert_eq!((nothing.len(), nothing.miss), (0, Some(Miss::NotOffered)));
    }

    #[test]
    fn slopes() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), Some(2.0));
        assert_eq!(slope(&[(0.0, 4.0), (5.0, 4.0)]), Some(0.0));
        assert_eq!(slope(&[(1.0, 1.0)]), None);
    }
}
