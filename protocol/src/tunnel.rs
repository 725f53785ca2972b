//! Tunnels: a port of a sandbox under a public address.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Invalid, sandboxd};

/// The largest body of a tunnel's request, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// A port that a tunnel can lead to: 1024 to 65535 (the contract's bounds), but not [`sandboxd::PORT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

impl Port {
    /// Parses a port as it stands in a URL: decimal digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // `u16` would take a sign.
        let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse::<u16>().ok());
        number.map_or_else(|| Err(Self::invalid()), Self::try_from)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }

    fn invalid() -> Invalid {
        Invalid::request(format!(
            "Invalid port: it must be a number from 1024 to 65535, and not {}, where sandboxd listens",
            sandboxd::PORT
        ))
    }
}

impl TryFrom<u16> for Port {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        if number >= 1024 && number != sandboxd::PORT {
            Ok(Self(number))
        } else {
            Err(Self::invalid())
        }
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a tunnel, the first label of its hostname: 1 to 63 characters of `a-z0-9-`, no `-` at either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TunnelName(String);

impl TunnelName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 63;

    /// Parses a name. Dots are refused: Cloudflare's certificate of a zone covers one label below it.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        let well_formed = (1..=Self::MAX_LEN).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if well_formed {
            Ok(Self(name.to_owned()))
        } else {
            Err(Invalid::request(
                "name must be a DNS label: 1 to 63 lower-case letters, digits and hyphens, no dot, and no hyphen at \
                 either end",
            ))
        }
    }

    /// The name as it stands in hostnames.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TunnelName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        Self::parse(&name)
    }
}

impl From<TunnelName> for String {
    fn from(name: TunnelName) -> Self {
        name.0
    }
}

impl fmt::Display for TunnelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The checked body of `POST …/tunnel/{port}` (the contract's `TunnelRequest`). An empty body asks for nothing special;
/// unknown fields are ignored, a field that is `null` counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TunnelRequest {
    /// Asks for the hostname `{name}.{zone}`; without it, Cloudflare makes one up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<TunnelName>,
}

impl TunnelRequest {
    /// Parses a JSON body, or an empty one.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let value =
            serde_json::from_slice(body).map_err(|e| Invalid::request(format!("Invalid JSON body: {e}")))?;
        let Value::Object(fields) = value else {
            return Err(Invalid::request("Invalid JSON body: must be an object"));
        };
        let name = match fields.get("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(TunnelName::parse(name)?),
            Some(_) => return Err(Invalid::request("name must be a string")),
        };
        Ok(Self { name })
    }
}

/// What the Sandbox object asks of `sandboxd` ([`sandboxd::TUNNEL`]): run the connector of this tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTunnel {
    /// The tunnel that was made at Cloudflare; `None` asks for a quick one, which needs no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<NamedTunnel>,
}

/// A tunnel that exists at Cloudflare.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTunnel {
    /// What the client called it.
    pub name: TunnelName,
    /// Cloudflare's id of it.
    pub id: String,
    /// Where it is reached.
    pub hostname: String,
    /// What its connector authenticates itself with: a secret.
    pub token: String,
}

impl fmt::Debug for NamedTunnel {
    /// Leaves the token out: it must not come into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedTunnel")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// A tunnel that is open (the contract's `Tunnel`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// What names this tunnel and no other: for a named one, Cloudflare's id.
    pub id: String,
    /// The port that it leads to.
    pub port: Port,
    /// Where everybody reaches it, without a slash at the end.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "uri")))]
    pub url: String,
    /// The host in `url`.
    pub hostname: String,
    /// When it was opened: RFC 3339, in UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// The name that the client gave it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TunnelName>,
}

/// What to tell a client that asks for a port whose tunnel has another name than it wants.
pub fn conflict(port: Port, name: Option<&TunnelName>) -> String {
    let kind = name.map_or_else(|| "no name".to_owned(), |name| format!("the name {name}"));
    format!("port {port} has a tunnel with {kind} already; delete that one before changing its options")
}

#[cfg(test)]
mod tests;
