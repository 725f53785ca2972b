//! Writes the OpenAPI document to standard output.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let text = serde_json::to_string(&sandbar_openapi::document())?;
    writeln!(io::stdout(), "{text}")
}
