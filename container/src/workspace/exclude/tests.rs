use super::*;

fn excluded(pattern: &str, names: &[&str]) -> Vec<String> {
    let excludes = Excludes::new(&[pattern.to_owned()]);
    let names = names.iter().filter(|name| excludes.contains(name.as_bytes()));
    names.map(|name| (*name).to_owned()).collect()
}

#[test]
fn names_and_wildcards() {
    let names = [
        "a",
        "a/b",
        "abc",
        "x.log",
        "d/x.log",
        ".hid",
        "x[1]",
        "x1",
        "é",
        "st*r",
        "back\\slash",
    ];
    for (pattern, expected) in [
        ("a", &["a"][..]),
        ("a/", &[]),
        ("/a", &[]),
        ("a*", &["a", "a/b", "abc"]),
        ("a?b", &["a/b"]),
        ("*.log", &["x.log", "d/x.log"]),
        ("**.log", &["x.log", "d/x.log"]),
        ("*", &names),
        ("?", &["a", "é"]),
        ("[[:alpha:]]", &["a", "é"]),
        ("[!a-z]*", &[".hid", "é"]),
        ("[]a]", &["a"]),
        ("[^b-z.é]", &["a"]),
        ("x[1]", &["x1"]),
        ("x\\[1\\]", &["x[1]"]),
        ("x[[]1]", &["x[1]"]),
        ("x[", &[]),
        ("st\\*r", &["st*r"]),
        ("back\\slash", &[]),
        ("back\\\\slash", &["back\\slash"]),
        ("a\\", &[]),
        ("é", &["é"]),
        ("*a*a*a*a*a*a*a*a*b", &[]),
    ] {
        assert_eq!(excluded(pattern, &names), expected, "{pattern}");
    }
}

#[test]
fn a_slash_at_the_end_is_for_directories() {
    let excludes = Excludes::new(&["a/".to_owned(), "b*//".to_owned(), "c\\/".to_owned()]);
    for name in ["a", "b1", "b/c", "c"] {
        assert!(excludes.contains_directory(name.as_bytes()), "{name}");
        assert!(!excludes.contains(name.as_bytes()), "{name}");
    }
    assert!(!excludes.contains_directory(b"d"));
}

#[test]
fn bytes_that_are_no_characters() {
    let excludes = Excludes::new(&["a?b".to_owned(), "*z".to_owned()]);
    assert!(excludes.contains(b"a\xffb"));
    assert!(excludes.contains(b"\xff\xfez"));
    assert!(!excludes.contains(b"a\xff\xfeb"));
}
