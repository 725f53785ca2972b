//! A line of the table: a name, a unit, and its limit on each runtime.

use std::fmt;

use sandbar_tests::Runtime;

/// The unit of a number, and with it which direction is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// Megabytes (10⁶ bytes) a second.
    MbPerS,
    /// Executions a second.
    ExecPerS,
    /// Mebibytes of memory.
    MiB,
    /// Kilobytes (10³ bytes) of a file.
    Kb,
    /// Megabytes (10⁶ bytes) of a file.
    Mb,
    /// Bytes of memory for each call.
    BytesPerCall,
    /// Hundredths of something else, of which more is better.
    Percent,
    /// How many times something else, of which less is better.
    Times,
}

impl Unit {
    /// As it stands in the table.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::MbPerS => "MB/s",
            Self::ExecPerS => "exec/s",
            Self::MiB => "MiB",
            Self::Kb => "KB",
            Self::Mb => "MB",
            Self::BytesPerCall => "B/call",
            Self::Percent => "%",
            Self::Times => "×",
        }
    }

    /// Whether a larger number is the better one.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::MbPerS | Self::ExecPerS | Self::Percent)
    }
}

/// One line.
#[derive(Debug)]
pub struct Line {
    /// The quantity that is measured.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    on_local: Option<f64>,
    on_containers: Option<f64>,
}

impl Line {
    /// A line without a limit.
    pub const fn new(name: &'static str, unit: Unit) -> Self {
        Self {
            name,
            unit,
            on_local: None,
            on_containers: None,
        }
    }

    /// With the same limit wherever it is measured.
    pub const fn limit(self, limit: f64) -> Self {
        self.local(limit).containers(limit)
    }

    /// With a limit for sandboxes that are processes of this machine.
    pub const fn local(mut self, limit: f64) -> Self {
        self.on_local = Some(limit);
        self
    }

    /// With a limit for sandboxes that are containers.
    pub const fn containers(mut self, limit: f64) -> Self {
        self.on_containers = Some(limit);
        self
    }

    /// Its limit on a runtime; where that is not known, the one that holds on both.
    pub fn limit_on(&self, runtime: Option<Runtime>) -> Option<Limit> {
        let limit = match runtime {
            Some(Runtime::Local) => self.on_local,
            Some(Runtime::Container) => self.on_containers,
            None => self.on_local.filter(|_| self.on_local == self.on_containers),
        };
        limit.map(|value| Limit {
            value,
            unit: self.unit,
        })
    }
}

/// The worst value that a median may have.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The number.
    pub value: f64,
    /// Its unit, which says on which side of it is better.
    pub unit: Unit,
}

impl Limit {
    /// Whether a number is not worse than the limit.
    pub fn holds(&self, number: f64) -> bool {
        if self.unit.more_is_better() {
            number >= self.value
        } else {
            number <= self.value
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unit.more_is_better() { '≥' } else { '≤' };
        // At most one digit behind the point, and none that says nothing.
        write!(f, "{sign} {}", (self.value * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_that_of_the_runtime() {
        let line = Line::new("x", Unit::Ms).local(1.5).containers(2.0);
        let value = |runtime| line.limit_on(runtime).map(|limit| limit.value);
        assert_eq!(value(Some(Runtime::Local)), Some(1.5));
        assert_eq!(value(Some(Runtime::Container)), Some(2.0));
        assert_eq!(value(None), None);
        assert_eq!(
            Line::new("x", Unit::Ms).limit(3.0).limit_on(None).unwrap().value,
            3.0
        );
        assert!(Line::new("x", Unit::Ms).containers(3.0).limit_on(None).is_none());
    }

    #[test]
    fn a_limit_knows_its_better_side() {
        let limit = |unit| Line::new("x", unit).limit(2.0).limit_on(None).unwrap();
        assert!(limit(Unit::Ms).holds(2.0) && !limit(Unit::Ms).holds(2.1));
        assert!(limit(Unit::MbPerS).holds(2.0) && !limit(Unit::MbPerS).holds(1.9));
        assert_eq!(limit(Unit::Ms).to_string(), "≤ 2");
        assert_eq!(limit(Unit::ExecPerS).to_string(), "≥ 2");
    }
}
