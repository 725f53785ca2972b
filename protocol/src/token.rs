//! Tokens: JSON Web Tokens that stand in for the deployment's key, for one sandbox or all, for some
//! operations, until a time. The Worker signs them; this module has everything else, except for the
//! scope that each operation needs: that is in `route_table.rs`.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::{self, field};
use crate::{Invalid, SandboxId, duration};

/// The largest body of `POST /v1/token`, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// The longest time until a token expires: 366 days.
pub const MAX_EXPIRES_IN: Duration = Duration::from_secs(366 * 24 * 3600);

/// The header of every token. Others are refused: a token does not choose its own algorithm.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A group of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scope {
    /// Commands, processes, sessions and terminals.
    #[serde(rename = "exec")]
    Exec,
    /// Reading files.
    #[serde(rename = "files:read")]
    FilesRead,
    /// Writing files.
    #[serde(rename = "files:write")]
    FilesWrite,
    /// Ports and tunnels.
    #[serde(rename = "ports")]
    Ports,
    /// Creating and destroying sandboxes, mounts, the warm pool.
    #[serde(rename = "manage")]
    Manage,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [
        Self::Exec,
        Self::FilesRead,
        Self::FilesWrite,
        Self::Ports,
        Self::Manage,
    ];

    /// Its name, as in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::FilesRead => "files:read",
            Self::FilesWrite => "files:write",
            Self::Ports => "ports",
            Self::Manage => "manage",
        }
    }

    /// The scope of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The body of `POST /v1/token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The sandbox that the token is for; `None`: all.
    pub sandbox: Option<SandboxId>,
    /// The scopes that it is to have, at least one.
    pub scopes: Vec<Scope>,
    /// The time after which it expires.
    pub expires_in: Duration,
}

impl TokenRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let sandbox = match field(&fields, "sandbox") {
            None => None,
            Some(Value::String(id)) => Some(SandboxId::parse(id)?),
            Some(_) => return Err(Invalid::request("sandbox must be the id of a sandbox")),
        };
        let scopes = field(&fields, "scopes").and_then(Value::as_array);
        let scopes = scopes.filter(|scopes| !scopes.is_empty()).and_then(|scopes| {
            let parsed = scopes.iter().map(|scope| Scope::parse(scope.as_str()?));
            parsed.collect::<Option<Vec<_>>>()
        });
        let mut scopes = scopes.ok_or_else(|| {
            let names = Scope::ALL.map(Scope::name).join(", ");
            Invalid::request(format!("scopes must be an array of at least one of {names}"))
        })?;
        scopes.sort_unstable();
        scopes.dedup();
        let expires_in = expires_in(&fields)?.ok_or_else(wrong_expires_in)?;
        Ok(Self {
            sandbox,
            scopes,
            expires_in,
        })
    }
}

/// The field `expiresIn`. Error: 400.
pub(crate) fn expires_in(fields: &Map<String, Value>) -> Result<Option<Duration>, Invalid> {
    let parse = |value: &Value| {
        let expires_in = value.as_str().and_then(duration::parse);
        expires_in
            .filter(|expires_in| *expires_in <= MAX_EXPIRES_IN)
            .ok_or_else(wrong_expires_in)
    };
    field(fields, "expiresIn").map(parse).transpose()
}

fn wrong_expires_in() -> Invalid {
    Invalid::request("expiresIn must be a duration like 30m or 24h, of at most 8784h")
}

/// The answer of `POST /v1/token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TokenCreated {
    /// The token, to be sent in the place of the key.
    pub token: String,
    /// The time at which it expires, in RFC 3339.
    pub expires_at: String,
}

/// The claims of a token: its scopes, on its sandbox, until its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The sandbox that it is for; `None`: all.
    pub sandbox: Option<SandboxId>,
    /// The operations.
    pub scopes: Vec<Scope>,
    /// The time at which it expires, in seconds since 1970.
    pub expires_at: u64,
}

/// The claims as they are in a token.
#[derive(Serialize, Deserialize)]
struct Payload {
    exp: u64,
    /// Names, separated by blanks.
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<String>,
}

impl Claims {
    /// The part of a token that is signed.
    pub fn to_signed_part(&self) -> String {
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.name()).collect();
        let payload = Payload {
            exp: self.expires_at,
            scope: scopes.join(" "),
            sandbox: self.sandbox.as_ref().map(|id| id.as_str().to_owned()),
        };
        // It has nothing that JSON cannot express.
        let payload = serde_json::to_string(&payload).unwrap_or_default();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(HEADER),
            URL_SAFE_NO_PAD.encode(payload)
        )
    }

    /// Whether they permit an operation of `scope` on `sandbox`. Without a scope, every token for
    /// the sandbox does; without both, every token.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn check(&self, scope: Option<Scope>, sandbox: Option<&SandboxId>) -> Result<(), String> {
        if let Some(own) = &self.sandbox
            && (scope.is_some() || sandbox.is_some())
            && sandbox != Some(own)
        {
            return Err(format!("the token is for the sandbox {own} alone"));
        }
        match scope {
            Some(scope) if !self.scopes.contains(&scope) => Err(format!("the token lacks the scope {scope}")),
            _ => Ok(()),
        }
    }
}

/// A token whose signature has not been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<'t> {
    /// The part that is signed.
    pub signed: &'t str,
    /// Its HMAC-SHA-256.
    pub signature: Vec<u8>,
    payload: &'t str,
}

impl<'t> Unverified<'t> {
    /// Splits a token; `None` for a text of another form.
    pub fn parse(token: &'t str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if header != URL_SAFE_NO_PAD.encode(HEADER) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self {
            signed,
            signature,
            payload,
        })
    }

    /// The claims, for a caller that has verified the signature. `None` when they have another form
    /// or have expired at `now`, in seconds since 1970.
    pub fn claims(&self, now: u64) -> Option<Claims> {
        let payload = URL_SAFE_NO_PAD.decode(self.payload).ok()?;
        let payload: Payload = serde_json::from_slice(&payload).ok()?;
        let scopes = payload.scope.split(' ').map(Scope::parse);
        let claims = Claims {
            sandbox: match payload.sandbox {
                None => None,
                Some(id) => Some(SandboxId::parse(&id).ok()?),
            },
            scopes: scopes.collect::<Option<_>>()?,
            expires_at: payload.exp,
        };
        (now < claims.expires_at).then_some(claims)
    }
}

/// The token of a signed part and its HMAC-SHA-256.
pub fn join(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for TokenRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TokenRequest".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut sandbox = generator.subschema_for::<Option<SandboxId>>();
        sandbox.insert(
            "description".into(),
            "The sandbox that the token is for. Absent: all, also those that do not exist yet.".into(),
        );
        schemars::json_schema!({
            "description": "The body of `POST /v1/token`.",
            "type": "object",
            "properties": {
                "sandbox": sandbox,
                "scopes": {
                    "description": "The operations that the token permits.",
                    "type": "array",
                    "items": generator.subschema_for::<Scope>(),
                    "minItems": 1,
                },
                "expiresIn": {
                    "description": "The time until the token expires, like `30m` or `24h`. At most `8784h`.",
                    "type": "string",
                    "pattern": "^[0-9]+(ms|s|m|h)$",
                },
            },
            "required": ["scopes", "expiresIn"],
        })
    }
}

#[cfg(test)]
mod tests;
