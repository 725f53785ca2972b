//! The text frames of a terminal's WebSocket: JSON objects with a `type`. Binary frames are the
//! terminal's bytes, both ways.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Size;
use crate::Invalid;

/// A text frame to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerMessage {
    /// The first frame: the terminal takes input. No binary frame comes before it.
    Ready,
    /// The program has ended, and this is all of its output. The close of the connection follows,
    /// with 1000.
    Exit {
        /// The exit code; 128+n when signal n ended the program.
        code: i32,
        /// The name of that signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
    },
    /// An error, as text for people. It is about the client's last text frame or, when the close of
    /// the connection follows, about the terminal.
    Error {
        /// One sentence.
        message: String,
    },
}

impl ServerMessage {
    /// The JSON of the frame.
    pub fn to_json(&self) -> String {
        // A value of this type always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A text frame from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// `{"type":"resize","cols":N,"rows":N}`: the terminal has another size now.
    Resize(Size),
}

impl ClientMessage {
    /// Parses a text frame. Unknown fields are ignored.
    ///
    /// # Errors
    ///
    /// The message says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Invalid::request(format!("not a JSON text frame: {e}")))?;
        match value.get("type").and_then(Value::as_str) {
            Some("resize") => {
                let side = |name| {
                    value
                        .get(name)
                        .and_then(Value::as_u64)
                        .ok_or_else(|| Invalid::request(Size::INVALID))
                };
                Size::new(side("cols")?, side("rows")?).map(Self::Resize)
            }
            _ => Err(Invalid::request(
                "a text frame must be {\"type\":\"resize\",\"cols\",\"rows\"}; input goes into binary frames",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_to_the_client() {
        let exit = |code, signal: Option<&str>| ServerMessage::Exit {
            code,
            signal: signal.map(str::to_owned),
        };
        let error = ServerMessage::Error {
            message: "a \"b\"\n".to_owned(),
        };
        for (message, json) in [
            (ServerMessage::Ready, r#"{"type":"ready"}"#),
            (exit(3, None), r#"{"type":"exit","code":3}"#),
            (
                exit(137, Some("SIGKILL")),
                r#"{"type":"exit","code":137,"signal":"SIGKILL"}"#,
            ),
            (error, r#"{"type":"error","message":"a \"b\"\n"}"#),
        ] {
            assert_eq!(message.to_json(), json);
            assert_eq!(serde_json::from_str::<ServerMessage>(json).unwrap(), message);
        }
    }

    #[test]
    fn frames_from_the_client() {
        let resize = ClientMessage::parse(r#"{"type":"resize","cols":100,"rows":40,"more":1}"#);
        assert_eq!(resize, Ok(ClientMessage::Resize(Size { cols: 100, rows: 40 })));
        for (bad, word) in [
            ("", "JSON"),
            ("{", "JSON"),
            ("null", "resize"),
            ("[]", "resize"),
            ("{}", "resize"),
            (r#"{"type":5}"#, "resize"),
            (r#"{"type":"input","data":"x"}"#, "binary"),
            (r#"{"type":"resize"}"#, "cols and rows"),
            (r#"{"type":"resize","cols":0,"rows":1}"#, "cols and rows"),
            (r#"{"type":"resize","cols":1001,"rows":1}"#, "cols and rows"),
            (r#"{"type":"resize","cols":"80","rows":24}"#, "cols and rows"),
            (r#"{"type":"resize","cols":80.5,"rows":24}"#, "cols and rows"),
            (r#"{"type":"resize","cols":-80,"rows":24}"#, "cols and rows"),
        ] {
            let error = ClientMessage::parse(bad).unwrap_err();
            assert!(error.message().contains(word), "{bad}: {error}");
        }
    }
}
