//! A run: the flags, the bridges, the results.

use sandbar_tests::Runtime;

use crate::flags::Flags;
use crate::line::{Limit, Line};
use crate::report::Row;
use crate::series::{Miss, Series};
use crate::side::Side;
use crate::turns::Rounds;

/// A run.
pub struct Bench {
    /// The command line.
    pub flags: Flags,
    /// The runtime whose limits hold.
    pub runtime: Option<Runtime>,
    /// The bridges, once they are needed; the first is the one that the limits are for.
    pub sides: Vec<Side>,
    /// The results so far.
    pub rows: Vec<Row>,
}

impl Bench {
    /// A run that has not begun.
    pub fn new(flags: Flags) -> Self {
        Self {
            runtime: flags.runtime(),
            flags,
            sides: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Opens the bridges, unless they are.
    pub async fn open(&mut self) -> Result<(), Miss> {
        if self.sides.is_empty() {
            for bridge in self.flags.bridges() {
                self.sides.push(Side::open(&bridge).await?);
            }
        }
        Ok(())
    }

    /// Whether one of these lines was asked for.
    pub fn wants(&self, lines: &[&Line]) -> bool {
        lines.iter().any(|line| self.flags.wants(line.name))
    }

    /// `counted` rounds after a tenth of them to warm up; with `--quick` a tenth of both.
    pub fn rounds(&self, counted: usize) -> Rounds {
        let counted = if self.flags.quick {
            (counted / 10).max(3).min(counted)
        } else {
            counted
        };
        Rounds {
            warm_up: (counted / 10).max(1),
            counted,
        }
    }

    /// Adds a line with a series of each side, if it was asked for.
    pub fn add(&mut self, line: &'static Line, series: Vec<Series>) {
        self.add_with(line, line.limit_on(self.runtime), series);
    }

    /// Adds a line whose limit was found out in this run.
    pub fn add_with(&mut self, line: &'static Line, limit: Option<Limit>, series: Vec<Series>) {
        if !self.flags.wants(line.name) {
            return;
        }
        let row = Row::new(line, limit, series);
        eprintln!("{}", row.in_short());
        self.rows.push(row);
    }

    /// Adds a line for each side's series together with the same side's base.
    pub fn add_beside(
        &mut self,
        line: &'static Line,
        (series, base): (&[Series], &[Series]),
        combine: impl Fn(&Series, &Series) -> Series,
    ) {
        let each = series
            .iter()
            .zip(base)
            .map(|(series, base)| combine(series, base));
        self.add(line, each.collect());
    }
}
