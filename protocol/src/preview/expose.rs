//! Exposed ports: the request that exposes one, what the Sandbox object stores, and the answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::label::is_token_id;
use crate::json::{self, field, flag, text};
#[cfg(feature = "schema")]
use crate::schema::Time;
use crate::token::expires_in;
use crate::{Invalid, ServerPort};

/// The largest body of `PUT …/port/{port}`, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// The most exposed ports of one sandbox.
pub const MAX_EXPOSURES: usize = 100;

/// The longest name, in characters.
const MAX_NAME: usize = 128;

/// The token id of every port that is exposed with the access `public`.
pub const PUBLIC_TOKEN_ID: &str = "public";

/// Who may know the address of an exposed port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
pub enum PortAccess {
    /// Who was given it: the address has a token, which ends when the port is no longer exposed.
    #[default]
    Token,
    /// Everybody: sandbox and port determine the address, so it is the same each time.
    Public,
}

/// The body of `PUT …/port/{port}`. An empty body has no fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExposeRequest {
    /// A name, for the client's own use.
    pub name: Option<String>,
    /// Who may know the address.
    pub access: PortAccess,
    /// The id of the token: a readable beginning. Absent: the present one, or a random one.
    pub token_id: Option<String>,
    /// The milliseconds after which the port is no longer exposed. Absent: never.
    pub expires_in_ms: Option<u64>,
    /// Whether a visit starts the sandbox.
    pub wake: bool,
}

impl ExposeRequest {
    /// Parses a JSON body, or an empty one.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        let access = match field(&fields, "access").map(Value::as_str) {
            None | Some(Some("token")) => PortAccess::Token,
            Some(Some("public")) => PortAccess::Public,
            Some(_) => return Err(Invalid::request("access must be token or public")),
        };
        let name = text(&fields, "name")?;
        if name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME) {
            return Err(Invalid::request(format!(
                "name must have at most {MAX_NAME} characters"
            )));
        }
        let token_id = text(&fields, "token")?;
        if token_id.as_ref().is_some_and(|id| !is_token_id(id)) {
            let message = "token must be 1 to 16 lower-case letters, digits and underscores";
            return Err(Invalid::request(message));
        }
        if token_id.is_some() && access == PortAccess::Public {
            return Err(Invalid::request("token must be absent when access is public"));
        }
        let expires_in = expires_in(&fields)?;
        Ok(Self {
            name,
            access,
            token_id,
            expires_in_ms: expires_in.map(|expires_in| expires_in.as_millis() as u64),
            wake: flag(&fields, "wake", false)?,
        })
    }
}

/// An exposed port, as its Sandbox object stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The port.
    pub port: ServerPort,
    /// The id of its token.
    pub token_id: String,
    /// Who may know the address.
    #[serde(default)]
    pub access: PortAccess,
    /// The name that the client gave it.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether a visit starts the sandbox.
    #[serde(default)]
    pub wake: bool,
    /// The time since which this token id is valid, in milliseconds since 1970.
    pub since_ms: u64,
    /// The time until which it is, in milliseconds since 1970.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

impl Exposure {
    /// The exposure of `port` by this request at `now_ms`, in milliseconds since 1970. It keeps the
    /// address of `present`, the one that there is, unless the request asks for another.
    /// `random_id` is the token id if it needs a new one.
    pub fn new(
        port: ServerPort,
        request: ExposeRequest,
        present: Option<&Self>,
        now_ms: u64,
        random_id: String,
    ) -> Self {
        let present = present.filter(|present| present.access == request.access);
        let token_id = match (request.access, request.token_id) {
            (PortAccess::Public, _) => PUBLIC_TOKEN_ID.to_owned(),
            (PortAccess::Token, Some(id)) => id,
            (PortAccess::Token, None) => present.map_or(random_id, |present| present.token_id.clone()),
        };
        let same = present.filter(|present| present.token_id == token_id);
        Self {
            port,
            access: request.access,
            name: request.name,
            wake: request.wake,
            since_ms: same.map_or(now_ms, |same| same.since_ms),
            expires_ms: request.expires_in_ms.map(|ms| now_ms.saturating_add(ms)),
            token_id,
        }
    }

    /// Whether it is valid no longer.
    pub fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

/// The ports of a sandbox, as its object knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPorts {
    /// The ports on which processes listen.
    pub listening: Vec<u16>,
    /// The ports that are exposed.
    pub exposures: Vec<Exposure>,
}

/// The answer of `PUT …/port/{port}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExposedPort {
    /// The port.
    pub port: u16,
    /// The address, which needs no key.
    pub url: String,
    /// The name that the client gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may know the address.
    pub access: PortAccess,
    /// The token in the address. Absent for `public`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether a visit starts the sandbox.
    pub wake: bool,
    /// The time at which the address ends.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{ExposeRequest, MAX_NAME};

    impl JsonSchema for ExposeRequest {
        fn schema_name() -> Cow<'static, str> {
            "ExposeRequest".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "The body of `PUT …/port/{port}`.",
                "type": "object",
                "properties": {
                    "name": {
                        "description": "A name, for the client's own use.",
                        "type": ["string", "null"],
                        "maxLength": MAX_NAME,
                    },
                    "access": {
                        "description": "`token` (the default): the address has a token, which ends when the port is no longer \
                                        exposed. `public`: sandbox and port determine the address, so it is the same each time.",
                        "enum": ["token", "public", null],
                    },
                    "token": {
                        "description": "The beginning of the token. Absent: the present one, or a random one. Not with `public`.",
                        "type": ["string", "null"],
                        "pattern": "^[a-z0-9_]{1,16}$",
                    },
                    "expiresIn": {
                        "description": "The time until the address ends, like `30m` or `24h`. At most `8784h`. Absent: never.",
                        "type": ["string", "null"],
                        "pattern": "^[0-9]+(ms|s|m|h)$",
                    },
                    "wake": {
                        "description": "Whether a visit starts the sandbox. Default: false.",
                        "type": ["boolean", "null"],
                    },
                },
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<ExposeRequest, Invalid> {
        ExposeRequest::parse(body.as_bytes())
    }

    #[test]
    fn requests() {
        assert_eq!(parse("").unwrap(), ExposeRequest::default());
        let body = r#"{"name":"n","access":"token","token":"my_app","expiresIn":"2s","wake":true,"other":1}"#;
        let expected = ExposeRequest {
            name: Some("n".into()),
            access: PortAccess::Token,
            token_id: Some("my_app".into()),
            expires_in_ms: Some(2000),
            wake: true,
        };
        assert_eq!(parse(body).unwrap(), expected);
        for (body, field) in [
            (r#"{"name":1}"#, "name"),
            (r#"{"access":"key"}"#, "access"),
            (r#"{"access":1}"#, "access"),
            (r#"{"token":""}"#, "token"),
            (r#"{"token":"My"}"#, "token"),
            (r#"{"token":"a-b"}"#, "token"),
            (r#"{"token":"a2345678901234567"}"#, "token"),
            (r#"{"token":"a","access":"public"}"#, "token"),
            (r#"{"expiresIn":5}"#, "expiresIn"),
            (r#"{"expiresIn":"9000h"}"#, "expiresIn"),
            (r#"{"wake":1}"#, "wake"),
        ] {
            let error = parse(body).unwrap_err();
            assert!(error.message().starts_with(field), "{body}: {error:?}");
        }
    }

    #[test]
    fn an_address_stays_until_another_is_asked_for() {
        let port = ServerPort::parse("3000").unwrap();
        let expose = |body: &str, present: Option<&Exposure>, now_ms| {
            Exposure::new(port, parse(body).unwrap(), present, now_ms, format!("r{now_ms}"))
        };
        let first = expose("{}", None, 1);
        assert_eq!((first.token_id.as_str(), first.since_ms), ("r1", 1));
        let renamed = expose(r#"{"name":"n","expiresIn":"5ms"}"#, Some(&first), 2);
        assert_eq!((renamed.token_id.as_str(), renamed.since_ms), ("r1", 1));
        assert_eq!(renamed.expires_ms, Some(7));
        assert!(!renamed.has_expired(6) && renamed.has_expired(7) && !first.has_expired(7));
        let chosen = expose(r#"{"token":"mine"}"#, Some(&renamed), 3);
        assert_eq!((chosen.token_id.as_str(), chosen.since_ms), ("mine", 3));
        let public = expose(r#"{"access":"public"}"#, Some(&chosen), 4);
        assert_eq!((public.token_id.as_str(), public.since_ms), ("public", 4));
        assert_eq!(expose(r#"{"access":"public"}"#, Some(&public), 5), public);
        assert_eq!(expose("{}", Some(&public), 6).token_id, "r6");
    }

    #[test]
    fn what_another_version_stored_is_read() {
        let stored = r#"{"port":3000,"token_id":"a","since_ms":1,"new":2}"#;
        let exposure: Exposure = serde_json::from_str(stored).unwrap();
        assert_eq!((exposure.port.get(), exposure.access), (3000, PortAccess::Token));
        assert!(serde_json::from_str::<Exposure>(r#"{"port":0,"token_id":"a","since_ms":1}"#).is_err());
    }
}
