//! Tunnels: a port of a sandbox under a public address.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, field};
use crate::{Invalid, sandboxd};

/// The largest body of a tunnel's request, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// A port that a tunnel can lead to: 1024 to 65535 (the contract's bounds), but not
/// [`sandboxd::PORT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

impl Port {
    /// Parses a port as it stands in a URL: decimal digits.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
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

/// The name of a tunnel, the first label of its hostname: 1 to 63 characters of `a-z0-9-`, no `-`
/// at either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TunnelName(String);

impl TunnelName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 63;

    /// Parses a name. Dots are refused: Cloudflare's certificate of a zone covers one label below
    /// it.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
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

/// The body of `POST …/tunnel/{port}`. An empty body has no fields. Unknown fields are ignored. A
/// field that is `null` counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TunnelRequest {
    /// The first label of the hostname `{name}.{zone}`. Absent: Cloudflare chooses a random
    /// hostname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<TunnelName>,
}

impl TunnelRequest {
    /// Parses a JSON body, or an empty one.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        let name = match field(&fields, "name") {
            None => None,
            Some(Value::String(name)) => Some(TunnelName::parse(name)?),
            Some(_) => return Err(Invalid::request("name must be a string")),
        };
        Ok(Self { name })
    }
}

/// The request of the Sandbox object to `sandboxd` ([`sandboxd::TUNNEL`]): run the connector of
/// this tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTunnel {
    /// The tunnel made at Cloudflare; `None` asks for a quick one, which needs no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<NamedTunnel>,
}

/// A tunnel that exists at Cloudflare.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTunnel {
    /// The client's name for it.
    pub name: TunnelName,
    /// Cloudflare's id for it.
    pub id: String,
    /// Its public host name.
    pub hostname: String,
    /// The secret that authenticates its connector.
    pub token: String,
}

impl fmt::Debug for NamedTunnel {
    /// Leaves the token out: it must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedTunnel")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// An open tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// The unique id of the tunnel. For a tunnel with a name, Cloudflare's id.
    pub id: String,
    /// The port in the sandbox.
    pub port: Port,
    /// The public URL, without a slash at the end.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "uri")))]
    pub url: String,
    /// The host in `url`.
    pub hostname: String,
    /// The time of its opening: RFC 3339, in UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub created_at: String,
    /// The name that the client gave it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TunnelName>,
    /// In the answer to its `POST`: whether something in the sandbox listens on the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<bool>,
}

/// The error for a client that asks for a port whose tunnel has another name.
pub fn conflict(port: Port, name: Option<&TunnelName>) -> String {
    let kind = name.map_or_else(|| "no name".to_owned(), |name| format!("the name {name}"));
    format!("port {port} has a tunnel with {kind} already; delete that one before changing its options")
}

#[cfg(test)]
mod tests;
