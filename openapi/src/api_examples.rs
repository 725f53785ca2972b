//! The examples of docs/api.md, which a test runs as they are.

const GUIDE: &str = include_str!("../../docs/api.md");

/// An example of an operation, and its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The operation's id.
    pub operation: String,
    /// Its method and path, as in the guide.
    pub call: String,
    /// A shell script.
    pub script: String,
    /// Its output, if the guide has it. `…` stands for any text.
    pub output: Option<String>,
}

/// The examples of the guide, in its order. The section of an operation is `### ID: METHOD PATH`
/// with code marks around method and path, and has a block of `sh`; a block of `text` after it is
/// its output.
pub fn examples() -> Vec<Example> {
    GUIDE
        .split("\n### ")
        .skip(1)
        .filter_map(|section| {
            let (heading, body) = section.split_once('\n')?;
            let (operation, call) = heading.split_once(": ")?;
            Some(Example {
                operation: operation.to_owned(),
                call: call.trim_matches('`').to_owned(),
                script: block(body, "sh")?,
                output: block(body, "text"),
            })
        })
        .collect()
}

/// The first fenced block of a language.
fn block(text: &str, language: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("```{language}\n"))?;
    let (block, _) = rest.split_once("```")?;
    Some(block.to_owned())
}
