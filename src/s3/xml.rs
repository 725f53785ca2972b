//! The subset of XML that S3 uses: elements with text. Written and read without a tree.

use std::borrow::Cow;

/// The namespace of S3's answers.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A document that is being written.
#[derive(Debug)]
pub struct Xml(String);

impl Xml {
    /// A document with only the declaration.
    pub fn document() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// The start of a response whose root element is `name`.
    pub fn answer(name: &str) -> Self {
        let mut xml = Self::document();
        for part in ["<", name, " xmlns=\"", NAMESPACE, "\">"] {
            xml.0.push_str(part);
        }
        xml
    }

    /// Begins an element.
    pub fn open(&mut self, name: &str) {
        for part in ["<", name, ">"] {
            self.0.push_str(part);
        }
    }

    /// Ends an element.
    pub fn close(&mut self, name: &str) {
        for part in ["</", name, ">"] {
            self.0.push_str(part);
        }
    }

    /// Writes an element with text. Characters that XML does not allow become U+FFFD: a key with a
    /// control character can then be listed, though not opened, and does not break the list.
    pub fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // Readers turn a literal carriage return into a line feed.
                '\r' => self.0.push_str("&#13;"),
                '\t' | '\n' => self.0.push(c),
                '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => self.0.push('\u{FFFD}'),
                c => self.0.push(c),
            }
        }
        self.close(name);
    }

    /// The finished document.
    pub fn finish(self) -> String {
        self.0
    }
}

/// The contents of the elements `name` in `xml`, in order. Elements of this name must not be
/// nested.
pub fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let (_, tag) = rest.split_once(begin.as_str())?;
            rest = tag;
            // In the tag of a longer name, more characters follow here.
            if !tag.starts_with(['>', '/', ' ', '\t', '\r', '\n']) {
                continue;
            }
            let (attributes, content) = tag.split_once('>')?;
            if attributes.ends_with('/') {
                rest = content;
                return Some("");
            }
            let (content, after) = content.split_once(end.as_str())?;
            rest = after;
            return Some(content);
        }
    })
}

/// The text of the first element `name` in `xml`.
pub fn text(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next().map(|text| unescape(text).into_owned())
}

/// Replaces the references in text. Unknown ones stay.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('&') {
        plain.push_str(before);
        let known = reference.split_once(';').and_then(|(name, after)| {
            let c = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                name => {
                    let number = name.strip_prefix('#')?;
                    let number = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16),
                        None => number.parse(),
                    };
                    char::from_u32(number.ok()?)?
                }
            };
            Some((c, after))
        });
        rest = match known {
            Some((c, after)) => {
                plain.push(c);
                after
            }
            None => {
                plain.push('&');
                reference
            }
        };
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_text_reads_back() {
        for written in ["", "a", "<&>\"'", "a\r\n\tb", "é\u{10FFFF}", "&amp;", "</Key>"] {
            let mut xml = Xml::answer("R");
            xml.element("Key", written);
            xml.close("R");
            assert_eq!(text(&xml.finish(), "Key").as_deref(), Some(written));
        }
        let mut xml = Xml::document();
        xml.element("Key", "a\u{1}b\u{FFFF}");
        assert_eq!(text(&xml.finish(), "Key").as_deref(), Some("a\u{FFFD}b\u{FFFD}"));
    }

    #[test]
    fn elements_of_others() {
        let xml = "<?xml?><R a=\"b\"><KeyCount>2</KeyCount><Key>1</Key><Key/><Key x='y'>&#x41;&#66;&apos;&bad;&</Key></R>";
        let all: Vec<_> = elements(xml, "Key").map(unescape).collect();
        assert_eq!(all, ["1", "", "AB'&bad;&"]);
        assert_eq!(text(xml, "KeyCount").as_deref(), Some("2"));
        assert_eq!(text(xml, "Nothing"), None);
        for broken in ["<Key", "<Key>", "<Key>a", "<Key>a</Ke", "", "<Key "] {
            assert_eq!(text(broken, "Key"), None, "{broken}");
        }
    }
}
