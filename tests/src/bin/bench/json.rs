//! The report as JSON.

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::report::Row;
use crate::series::{Miss, Series};

/// `{"machine", "lines": [{"name", "n", "p50", "p95", "p99", "unit", "limit", "ok", "errors",
/// …}]}`. A percentile that does not exist is null, and `missing` then says why; with `--vs`, `vs`
/// has the other bridge's numbers and `ratio` is this median divided by that one.
pub fn document(machine: &Machine, rows: &[Row]) -> Value {
    json!({ "machine": machine.json(), "lines": rows.iter().map(line).collect::<Vec<_>>() })
}

fn line(row: &Row) -> Value {
    let limit = row.limit.map(|limit| {
        let side = if limit.unit.more_is_better() {
            "at_least"
        } else {
            "at_most"
        };
        json!({ side: limit.value })
    });
    let mut line = numbers(row, &row.this);
    line["name"] = row.line.name.into();
    line["unit"] = row.line.unit.label().into();
    line["limit"] = limit.into();
    line["ok"] = row.is_ok().into();
    if let Some(vs) = &row.vs {
        line["vs"] = numbers(row, vs);
        line["ratio"] = row.ratio().into();
    }
    line
}

fn numbers(row: &Row, series: &Series) -> Value {
    let [p50, p95, p99] = [50, 95, 99].map(|percent| series.percentile(percent, row.line.unit));
    let mut numbers =
        json!({ "n": series.len(), "p50": p50, "p95": p95, "p99": p99, "errors": series.errors });
    match &series.miss {
        Some(Miss::NotOffered) => numbers["missing"] = "not offered".into(),
        Some(Miss::Unobservable(why)) => numbers["missing"] = (*why).into(),
        Some(Miss::Failed(why)) => numbers["first_error"] = why.as_str().into(),
        None => {}
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Line, Unit};

    #[test]
    fn lines() {
        static LINE: Line = Line::new("stdout", Unit::MbPerS).limit(150.0);
        let row = |series| Row::new(&LINE, LINE.limit_on(None), series);
        assert_eq!(
            line(&row(vec![
                Series::from_samples(vec![300.0]),
                Series::from_samples(vec![150.0])
            ])),
            json!({
                "name": "stdout", "n": 1, "p50": 300.0, "p95": 300.0, "p99": 300.0, "errors": 0, "unit": "MB/s",
                "limit": { "at_least": 150.0 }, "ok": true, "ratio": 2.0,
                "vs": { "n": 1, "p50": 150.0, "p95": 150.0, "p99": 150.0, "errors": 0 }
            })
        );
        assert_eq!(
            line(&row(vec![Series::without(Miss::NotOffered)])),
            json!({
                "name": "stdout", "n": 0, "p50": null, "p95": null, "p99": null, "errors": 0, "unit": "MB/s",
                "limit": { "at_least": 150.0 }, "ok": null, "missing": "not offered"
            })
        );
    }
}
