//! Lists: a table for people, or JSON for programs.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result, printable};
use crate::output::write_all;

/// Prints a list as JSON, or as a table with a row for each item. The last column has any width.
pub fn print<T: DeserializeOwned, const N: usize>(
    as_json: bool,
    items: Vec<Value>,
    columns: [&str; N],
    row: impl Fn(T) -> [String; N],
) -> Result<()> {
    let mut text = String::new();
    if as_json {
        text = serde_json::to_string_pretty(&items).map_err(|e| Error::Answer(e.to_string()))? + "\n";
    } else {
        let mut rows = vec![columns.map(str::to_owned)];
        for item in items {
            let item = serde_json::from_value(item).map_err(|e| Error::Answer(e.to_string()))?;
            rows.push(row(item).map(|cell| printable(&cell)));
        }
        let mut widths = [0; N];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in rows {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
    }
    write_all(text.as_bytes())
}

/// A number of bytes for people.
pub fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}
