//! The revisions of the protocol, and the headers that name them.
//!
//! The current revision has no handshake: each request names its revision, in a header and in its
//! `_meta`, and some headers repeat what the body says. Earlier revisions begin with `initialize`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Fault, Request};

/// The current revision.
pub const CURRENT: &str = "2026-07-28";

/// The revision of a request without a header: it was the last one without.
const WITHOUT_HEADER: &str = "2025-03-26";

/// The revisions that are served, the newest first.
pub const SUPPORTED: [&str; 4] = [CURRENT, "2025-11-25", "2025-06-18", WITHOUT_HEADER];

/// The key of a request's revision in its `_meta`.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// The key of the client's capabilities in its `_meta`.
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// The headers of a request that tell of its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// `MCP-Protocol-Version`
    pub version: Option<String>,
    /// `Mcp-Method`
    pub method: Option<String>,
    /// `Mcp-Name`
    pub name: Option<String>,
}

/// The revision that a request is answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// [`CURRENT`].
    Current,
    /// An earlier one: all of them get the same answers.
    Earlier {
        /// Whether it has batches.
        has_batches: bool,
    },
}

impl Revision {
    /// The revision of a notification or a batch, which have no `_meta` of their own.
    ///
    /// # Errors
    ///
    /// The revision is not supported.
    pub fn of_headers(headers: &RequestHeaders) -> Result<Self, Fault> {
        match headers.version.as_deref() {
            Some(CURRENT) => Ok(Self::Current),
            Some(version) if !SUPPORTED.contains(&version) => Err(unsupported(version)),
            version => Ok(Self::Earlier {
                has_batches: version.is_none_or(|version| version == WITHOUT_HEADER),
            }),
        }
    }

    /// The revision of a request.
    ///
    /// # Errors
    ///
    /// The revision is not supported, `_meta` lacks a field, or a header does not agree with the
    /// body.
    pub fn of_request(headers: &RequestHeaders, request: &Request) -> Result<Self, Fault> {
        let meta = request.params.get("_meta").and_then(Value::as_object);
        let named = meta.and_then(|meta| meta.get(VERSION_KEY));
        match (headers.version.as_deref(), named) {
            // `initialize` of an earlier revision, and everything that follows it.
            (version, None) if version != Some(CURRENT) => return Self::of_headers(headers),
            _ => {}
        }
        check_meta(meta)?;
        if named.and_then(Value::as_str) != headers.version.as_deref() {
            return Err(mismatch("MCP-Protocol-Version", "_meta"));
        }
        if headers.method.as_deref() != Some(&request.method) {
            return Err(mismatch("Mcp-Method", "method"));
        }
        if request.method == "tools/call" {
            let name = headers.name.as_deref().and_then(decode);
            if name.as_deref() != request.params.get("name").and_then(Value::as_str) {
                return Err(mismatch("Mcp-Name", "params.name"));
            }
        }
        Self::of_headers(headers)
    }

    /// The revision that `initialize` answers with: the one that the client asks for, or the newest
    /// that has the method.
    pub fn negotiated(asked: &str) -> &'static str {
        let mut earlier = SUPPORTED.into_iter().filter(|version| *version != CURRENT);
        let newest = earlier.clone().next().unwrap_or(WITHOUT_HEADER);
        earlier.find(|version| *version == asked).unwrap_or(newest)
    }
}

fn check_meta(meta: Option<&Map<String, Value>>) -> Result<(), Fault> {
    let has = |key: &str, is: fn(&Value) -> bool| meta.and_then(|meta| meta.get(key)).is_some_and(is);
    if !has(VERSION_KEY, Value::is_string) {
        return Err(Fault::params(format!(
            "params._meta must have {VERSION_KEY}, a string"
        )));
    }
    if !has(CAPABILITIES_KEY, Value::is_object) {
        let message = format!("params._meta must have {CAPABILITIES_KEY}, an object");
        return Err(Fault::params(message));
    }
    Ok(())
}

fn mismatch(header: &str, field: &str) -> Fault {
    let message = format!("the header {header} must be there and agree with {field} of the body");
    Fault::new(Fault::HEADER_MISMATCH, message)
}

fn unsupported(version: &str) -> Fault {
    let mut fault = Fault::new(Fault::UNSUPPORTED_VERSION, "Unsupported protocol version");
    fault.data = Some(json!({ "supported": SUPPORTED, "requested": version }));
    fault
}

/// The value of a header: as it stands, or in base64 between marks.
fn decode(value: &str) -> Option<String> {
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(value.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, params: Value) -> Request {
        Request {
            id: json!(1),
            method: method.to_owned(),
            params: params.as_object().unwrap().clone(),
        }
    }

    fn headers(version: &str, method: &str, name: &str) -> RequestHeaders {
        let header = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RequestHeaders {
            version: header(version),
            method: header(method),
            name: header(name),
        }
    }

    #[test]
    fn requests_of_the_current_revision_agree_with_their_headers() {
        let meta = json!({ VERSION_KEY: CURRENT, CAPABILITIES_KEY: {} });
        let call = request("tools/call", json!({ "_meta": meta, "name": "run" }));
        for name in ["run", "=?base64?cnVu?="] {
            let headers = headers(CURRENT, "tools/call", name);
            assert_eq!(Revision::of_request(&headers, &call), Ok(Revision::Current));
        }
        for (version, method, name) in [
            ("", "tools/call", "run"),
            ("2025-11-25", "tools/call", "run"),
            (CURRENT, "", "run"),
            (CURRENT, "tools/list", "run"),
            (CURRENT, "tools/call", ""),
            (CURRENT, "tools/call", "read"),
            (CURRENT, "tools/call", "=?base64?%?="),
        ] {
            let refused = Revision::of_request(&headers(version, method, name), &call).unwrap_err();
            assert_eq!(refused.code, Fault::HEADER_MISMATCH, "{version} {method} {name}");
        }
        for meta in [
            json!(null),
            json!({}),
            json!({ VERSION_KEY: CURRENT }),
            json!({ VERSION_KEY: 1 }),
        ] {
            let list = request("tools/list", json!({ "_meta": meta }));
            let refused = Revision::of_request(&headers(CURRENT, "tools/list", ""), &list).unwrap_err();
            assert_eq!(refused.code, Fault::INVALID_PARAMS, "{meta}");
        }
    }

    #[test]
    fn earlier_revisions_need_no_metadata_and_others_are_refused() {
        let list = request("tools/list", json!({}));
        for (version, has_batches) in [("", true), ("2025-03-26", true), ("2025-06-18", false)] {
            let revision = Revision::of_request(&headers(version, "", ""), &list);
            assert_eq!(revision, Ok(Revision::Earlier { has_batches }), "{version}");
        }
        let refused = Revision::of_request(&headers("1999-01-01", "", ""), &list).unwrap_err();
        assert_eq!(refused.code, Fault::UNSUPPORTED_VERSION);
        let meta = json!({ VERSION_KEY: "2099-01-01", CAPABILITIES_KEY: {} });
        let newer = request("tools/list", json!({ "_meta": meta }));
        let refused = Revision::of_request(&headers("2099-01-01", "tools/list", ""), &newer).unwrap_err();
        assert_eq!(refused.data.unwrap()["supported"], json!(SUPPORTED));
        for (asked, answer) in [
            ("2025-06-18", "2025-06-18"),
            (CURRENT, "2025-11-25"),
            ("2024-11-05", "2025-11-25"),
        ] {
            assert_eq!(Revision::negotiated(asked), answer);
        }
    }
}
