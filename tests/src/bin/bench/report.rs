//! The results so far, and their table.

use crate::line::{Limit, Line};
use crate::series::{Miss, Series};

/// One line, measured.
pub struct Row {
    /// The line.
    pub line: &'static Line,
    /// Its limit here.
    pub limit: Option<Limit>,
    /// On the bridge, or on the machine.
    pub this: Series,
    /// On the bridge of `--vs`.
    pub vs: Option<Series>,
}

impl Row {
    /// A row; `series` has one of each side, or one that concerns no bridge.
    pub fn new(line: &'static Line, limit: Option<Limit>, series: Vec<Series>) -> Self {
        let mut series = series.into_iter();
        Self {
            line,
            limit,
            this: series.next().unwrap_or_default(),
            vs: series.next(),
        }
    }

    /// Whether the limit was kept: the median is not worse and nothing went wrong. Nothing where
    /// there is no limit, or where nothing could be measured.
    pub fn is_ok(&self) -> Option<bool> {
        let limit = self.limit?;
        match self.this.median(self.line.unit) {
            Some(median) => Some(limit.holds(median) && self.this.errors == 0),
            None => (self.this.errors > 0).then_some(false),
        }
    }

    /// This median divided by that of `--vs`.
    pub fn ratio(&self) -> Option<f64> {
        let (this, vs) = (
            self.this.median(self.line.unit)?,
            self.vs.as_ref()?.median(self.line.unit)?,
        );
        (vs != 0.0).then_some(this / vs)
    }

    /// The row as Markdown.
    fn markdown(&self, with_vs: bool) -> String {
        let limit = self.limit.map_or(String::new(), |limit| limit.to_string());
        let verdict = match self.is_ok() {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        let [p50, p95, p99] = percentiles(&self.this, self.line);
        let mut text = format!(
            "| {} | {} | {p50} | {p95} | {p99} | {} | {limit} | {verdict} |",
            self.line.name,
            self.this.len(),
            self.line.unit.label()
        );
        if with_vs {
            let [vs, _, _] = self
                .vs
                .as_ref()
                .map_or_else(Default::default, |vs| percentiles(vs, self.line));
            text += &format!(" {vs} | {} |", self.comparison());
        }
        text
    }

    /// The medians, or why there are none; for who waits for the table.
    pub fn in_short(&self) -> String {
        let [this, _, _] = percentiles(&self.this, self.line);
        let [vs, _, _] = self
            .vs
            .as_ref()
            .map_or_else(Default::default, |vs| percentiles(vs, self.line));
        let vs = if vs.is_empty() { vs } else { format!(" vs {vs}") };
        format!("{} [{}]: {this}{vs}", self.line.name, self.line.unit.label())
    }

    /// The ratio, and which side has the better of it.
    fn comparison(&self) -> String {
        let Some(ratio) = self.ratio() else {
            return String::new();
        };
        let this_is_better = (ratio > 1.0) == self.line.unit.more_is_better();
        let times = if ratio > 1.0 { ratio } else { 1.0 / ratio };
        match this_is_better {
            _ if ratio <= 0.0 => String::new(),
            true => format!("{times:.2}× better"),
            false => format!("{times:.2}× worse"),
        }
    }
}

/// p50, p95 and p99; or, where there is none, why.
fn percentiles(series: &Series, line: &Line) -> [String; 3] {
    let number = |percent| {
        let value = series.percentile(percent, line.unit)?;
        Some(format!("{value:.*}", digits(value)))
    };
    let mut told = [50, 95, 99].map(|percent| number(percent).unwrap_or_default());
    if series.len() == 0 {
        told[0] = match &series.miss {
            None => "–".to_owned(),
            Some(Miss::NotOffered) => "not offered".to_owned(),
            Some(Miss::Unobservable(why)) => (*why).to_owned(),
            Some(Miss::Failed(_)) => "failed".to_owned(),
        };
    }
    if series.errors > 0 {
        told[0] += &format!(" ({} errors)", series.errors);
    }
    told
}

/// Three digits that say something, or all before the point.
fn digits(value: f64) -> usize {
    match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    }
}

/// Prints the table as Markdown, and under it what went wrong.
pub fn print(rows: &[Row]) {
    let with_vs = rows.iter().any(|row| row.vs.is_some());
    let (mut head, mut rule) = (
        "| what | n | p50 | p95 | p99 | unit | limit | |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | --- |".to_owned(),
    );
    if with_vs {
        head += " vs p50 | ratio |";
        rule += " ---: | --- |";
    }
    println!("{head}\n{rule}");
    for row in rows {
        println!("{}", row.markdown(with_vs));
    }
    println!();
    for row in rows {
        for (series, whose) in [(Some(&row.this), ""), (row.vs.as_ref(), " (vs)")] {
            if let Some(Miss::Failed(why)) = series.and_then(|series| series.miss.as_ref()) {
                println!("- {}{whose}: {why}", row.line.name);
            }
        }
    }
    let verdicts: Vec<bool> = rows.iter().filter_map(Row::is_ok).collect();
    let missed = verdicts.iter().filter(|ok| !**ok).count();
    println!(
        "{} limits: {} kept, {missed} missed",
        verdicts.len(),
        verdicts.len() - missed
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Unit;

    static LINE: Line = Line::new("exec", Unit::Ms).limit(2.0);

    fn row(this: Series, vs: Option<Series>) -> Row {
        Row::new(
            &LINE,
            LINE.limit_on(None),
            [Some(this), vs].into_iter().flatten().collect(),
        )
    }

    #[test]
    fn rows() {
        let good = row(Series::from_samples(vec![1.0, 2.0, 30.0]), None);
        assert_eq!(
            good.markdown(false),
            "| exec | 3 | 2.00 | 30.0 | 30.0 | ms | ≤ 2 | ok |"
        );
        let bad = row(Series::from_samples(vec![3.0]), None);
        assert_eq!(bad.is_ok(), Some(false));
        let absent = row(Series::without(Miss::NotOffered), None);
        assert_eq!(
            absent.markdown(false),
            "| exec | 0 | not offered |  |  | ms | ≤ 2 |  |"
        );
    }

    #[test]
    fn an_error_is_never_ok() {
        let mut series = Series::from_samples(vec![1.0]);
        series.add(Err(Miss::Failed("broke".into())));
        let broken = row(series, None);
        assert_eq!(
            broken.markdown(false),
            "| exec | 1 | 1.00 (1 errors) | 1.00 | 1.00 | ms | ≤ 2 | MISSED |"
        );
        assert_eq!(
            row(Series::without(Miss::Failed("no".into())), None).is_ok(),
            Some(false)
        );
    }

    #[test]
    fn ratios_name_the_better_side() {
        let against = |this, vs| {
            row(
                Series::from_samples(vec![this]),
                Some(Series::from_samples(vec![vs])),
            )
        };
        assert_eq!(against(1.0, 4.0).comparison(), "4.00× better");
        assert_eq!(against(3.0, 2.0).comparison(), "1.50× worse");
        assert_eq!(against(1.0, 4.0).ratio(), Some(0.25));
        let lacking = row(
            Series::from_samples(vec![1.0]),
            Some(Series::without(Miss::NotOffered)),
        );
        assert_eq!(
            lacking.markdown(true),
            "| exec | 1 | 1.00 | 1.00 | 1.00 | ms | ≤ 2 | ok | not offered |  |"
        );
    }
}
