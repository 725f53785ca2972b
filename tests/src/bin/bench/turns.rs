//! Measures bridges in turns, so that all of them see the same machine.

use std::array;

use crate::series::{Miss, Sample, Series};
use crate::side::{MEASUREMENT_TIMEOUT, Side};

/// How often something is measured.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Rounds before the first that counts.
    pub warm_up: usize,
    /// Rounds that count.
    pub counted: usize,
}

/// Measures `N` numbers at a time on each side in turns; gives for each number a series a side.
///
/// Every other round begins with the last side. A side that gave up on all of its numbers is left
/// alone.
pub async fn in_turns<'s, const N: usize>(
    sides: &'s [Side],
    rounds: Rounds,
    measure: impl AsyncFn(&'s Side) -> [Sample; N],
) -> [Vec<Series>; N] {
    let mut series: [Vec<Series>; N] = array::from_fn(|_| vec![Series::default(); sides.len()]);
    for round in 0..rounds.warm_up + rounds.counted {
        for index in order(sides.len(), round) {
            if series.iter().all(|of_number| of_number[index].gave_up()) {
                continue;
            }
            let samples = match tokio::time::timeout(MEASUREMENT_TIMEOUT, measure(&sides[index])).await {
                Ok(samples) => samples,
                Err(_) => {
                    let late = format!("no end within {} s", MEASUREMENT_TIMEOUT.as_secs());
                    array::from_fn(|_| Err(Miss::Failed(late.clone())))
                }
            };
            for (of_number, sample) in series.iter_mut().zip(samples) {
                if round < rounds.warm_up {
                    of_number[index].warm_up(sample);
                } else {
                    of_number[index].add(sample);
                }
            }
        }
    }
    series
}

/// Measures something again and again that concerns no bridge.
pub fn repeated(rounds: Rounds, mut measure: impl FnMut() -> Sample) -> Series {
    let mut series = Series::default();
    for round in 0..rounds.warm_up + rounds.counted {
        let sample = measure();
        if round < rounds.warm_up {
            series.warm_up(sample)
        } else {
            series.add(sample)
        }
        if series.gave_up() {
            break;
        }
    }
    series
}

/// Which side comes when in a round.
pub fn order(sides: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..sides).map(move |i| if round.is_multiple_of(2) { i } else { sides - 1 - i })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns_in_being_first() {
        let orders: Vec<Vec<usize>> = (0..3).map(|round| order(2, round).collect()).collect();
        assert_eq!(orders, [[0, 1], [1, 0], [0, 1]]);
    }
}
