//! The lines of docs/api.md, run as they stand there, one after the other in one shell.

use std::process::Stdio;

use sandbar_openapi::examples;
use tokio::process::Command;

use crate::bridge;

/// What is printed between the output of two examples.
const BETWEEN: &str = "==== the next example ====";

#[tokio::test]
async fn every_example_prints_what_stands_below_it() {
    let examples = examples();
    let scripts: Vec<&str> = examples.iter().map(|example| example.script.as_str()).collect();
    let script = scripts.join(&format!("\necho '{BETWEEN}'\n"));
    let work = std::env::temp_dir().join(format!("sandbar-guide-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    let output = Command::new("bash")
        .args(["-eu", "-o", "pipefail", "-c", &script])
        .current_dir(&work)
        .env("SANDBOX_URL", &bridge().url)
        .env("SANDBOX_API_KEY", &bridge().key)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let _ = std::fs::remove_dir_all(&work);
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let printed: Vec<&str> = text.split(BETWEEN).collect();
    assert_eq!(printed.len(), examples.len(), "{text}");
    for (example, printed) in examples.iter().zip(printed) {
        let promised = example.output.as_deref().unwrap_or_default();
        assert!(
            is_like(printed.trim(), promised.trim()),
            "{} promises\n{promised}and prints\n{printed}",
            example.operation
        );
    }
}

/// Whether a text is as promised, where `…` stands for anything, nothing included. Names of headers have any case.
fn is_like(text: &str, promised: &str) -> bool {
    let (text, promised) = (text.to_lowercase(), promised.to_lowercase());
    let Some((first, others)) = promised.split_once('…') else {
        return text == promised;
    };
    let (between, last) = others.rsplit_once('…').unwrap_or(("", others));
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    between.split('…').all(|part| {
        let found = rest.split_once(part);
        rest = found.map_or(rest, |(_, after)| after);
        found.is_some()
    })
}

#[test]
fn the_comparison_tells_texts_apart() {
    for (text, promised) in [
        ("a", "a"),
        ("a b c", "a…c"),
        ("a", "…"),
        ("", "…"),
        ("a b", "a …"),
        ("ac", "a…c"),
        ("a c b c", "a…c"),
        ("abcd", "a…b…d"),
    ] {
        assert!(is_like(text, promised), "{text} {promised}");
    }
    for (text, promised) in [
        ("a", "b"),
        ("a", ""),
        ("ab", "a"),
        ("a b c d", "a…c"),
        ("b", "a…"),
        ("", "a"),
        ("adbc", "a…b…d"),
    ] {
        assert!(!is_like(text, promised), "{text} {promised}");
    }
}
