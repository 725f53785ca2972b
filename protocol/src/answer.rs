//! The short JSON answers of the API.

use serde::{Deserialize, Serialize, Serializer};

use crate::ErrorBody;

/// The answer of `POST /v1/sandbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SandboxCreated {
    /// The id of the sandbox, for the paths of its operations.
    #[cfg_attr(feature = "schema", schemars(with = "crate::SandboxId"))]
    pub id: String,
}

/// The answer of `GET /v1/sandbox/{id}/running`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "RunningResponse")
)]
pub struct Running {
    /// Whether the sandbox is running now. If not, it starts empty with the next operation that
    /// needs it.
    pub running: bool,
}

/// The response of a successful operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "OkResponse")
)]
pub struct Done {
    /// Always true. A failure is an error response.
    pub ok: True,
}

/// The response of a successful write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "WriteResponse")
)]
pub struct Written {
    /// Always true. A failure is an error response.
    pub ok: True,
}

/// The answer of `GET /health` when bindings of the deployment are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unhealthy {
    /// Always false.
    pub ok: bool,
    /// The names of the bindings that are missing.
    pub missing: Vec<&'static str>,
    /// The error as text.
    #[serde(flatten)]
    pub error: ErrorBody,
}

/// The boolean that is always true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct True;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn wire_forms() {
        assert_eq!(json(&SandboxCreated { id: "abc".into() }), r#"{"id":"abc"}"#);
        assert_eq!(json(&Running { running: false }), r#"{"running":false}"#);
        assert_eq!(json(&Done::default()), r#"{"ok":true}"#);
        assert_eq!(json(&Written::default()), r#"{"ok":true}"#);
        let unhealthy = Unhealthy {
            ok: false,
            missing: vec!["Sandbox"],
            error: ErrorBody::new(ErrorCode::NotConfigured, "x"),
        };
        assert_eq!(
            json(&unhealthy),
            r#"{"ok":false,"missing":["Sandbox"],"error":"x","code":"not_configured"}"#
        );
    }
}
