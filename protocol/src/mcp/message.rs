//! The messages of JSON-RPC 2.0 that a client sends.

use serde_json::{Map, Value, json};

use crate::json::{set, without_byte_order_mark};

/// The most messages of a batch.
pub const MAX_BATCH: usize = 100;

/// The error of a request, as JSON-RPC has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The code.
    pub code: i32,
    /// The text.
    pub message: String,
    /// More about it.
    pub data: Option<Value>,
}

impl Fault {
    /// The body is not JSON.
    pub const PARSE_ERROR: i32 = -32700;
    /// The JSON is no message.
    pub const INVALID_REQUEST: i32 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The parameters are wrong.
    pub const INVALID_PARAMS: i32 = -32602;
    /// A fault of Sandbar.
    pub const INTERNAL_ERROR: i32 = -32603;
    /// A header does not agree with the body.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// The revision is not supported.
    pub const UNSUPPORTED_VERSION: i32 = -32022;

    /// An error with a code and a text.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Wrong parameters.
    pub fn params(message: impl Into<String>) -> Self {
        Self::new(Self::INVALID_PARAMS, message)
    }

    fn request(message: impl Into<String>) -> Self {
        Self::new(Self::INVALID_REQUEST, message)
    }

    /// The HTTP status of its response in the current revision. Earlier ones answer the errors of a
    /// well-formed request with 200.
    pub fn status(&self) -> u16 {
        match self.code {
            Self::METHOD_NOT_FOUND => 404,
            Self::INTERNAL_ERROR => 200,
            _ => 400,
        }
    }

    /// The message that tells it.
    pub fn reply(&self, id: &Value) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            set(&mut error, "data", data.clone());
        }
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    }
}

/// A request, which has an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its id: a string or a whole number.
    pub id: Value,
    /// Its method.
    pub method: String,
    /// Its parameters.
    pub params: Map<String, Value>,
}

impl Request {
    /// The message with its result.
    pub fn reply(&self, result: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "result": result })
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A notification, which has no answer.
    Notification,
}

/// The body of a `POST`.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// One message.
    One(Message),
    /// Several, which the revision 2025-03-26 permits.
    Batch(Vec<Message>),
}

impl Sent {
    /// Parses a body.
    ///
    /// # Errors
    ///
    /// The error, and the id of the request where there is one.
    pub fn parse(body: &[u8]) -> Result<Self, (Fault, Value)> {
        let value = serde_json::from_slice(without_byte_order_mark(body));
        let value: Value = value.map_err(|e| {
            let fault = Fault::new(Fault::PARSE_ERROR, format!("Parse error: {e}"));
            (fault, Value::Null)
        })?;
        let Value::Array(items) = value else {
            return Message::new(value).map(Self::One);
        };
        if items.is_empty() || items.len() > MAX_BATCH {
            let fault = Fault::request(format!("a batch must have 1 to {MAX_BATCH} messages"));
            return Err((fault, Value::Null));
        }
        let messages = items.into_iter().map(Message::new);
        Ok(Self::Batch(messages.collect::<Result<_, _>>()?))
    }
}

impl Message {
    /// Checks one message. Responses are none that a client sends: no request goes to it.
    fn new(value: Value) -> Result<Self, (Fault, Value)> {
        let refused = |message: &str, id: &Value| (Fault::request(message), id.clone());
        let Value::Object(mut fields) = value else {
            return Err(refused("a message must be an object", &Value::Null));
        };
        let id = fields.remove("id");
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            return Err(refused("id must be a string or a whole number", &Value::Null));
        }
        let known = id.clone().unwrap_or(Value::Null);
        if fields.get("jsonrpc") != Some(&Value::from("2.0")) {
            return Err(refused("jsonrpc must be \"2.0\"", &known));
        }
        let Some(Value::String(method)) = fields.remove("method") else {
            return Err(refused("method must be a string", &known));
        };
        let params = match fields.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err((Fault::params("params must be an object"), known)),
        };
        Ok(match id {
            Some(id) => Self::Request(Request { id, method, params }),
            None => Self::Notification,
        })
    }
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(_) => true,
        Value::Number(number) => !number.is_f64() || number.as_f64().is_some_and(|id| id.fract() == 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> (i32, Value) {
        let (fault, id) = Sent::parse(body.as_bytes()).unwrap_err();
        (fault.code, id)
    }

    #[test]
    fn requests_have_an_id_and_notifications_have_none() {
        for (body, id) in [
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, json!("a")),
            (
                r#"{"jsonrpc":"2.0","id":-1,"method":"ping","params":null}"#,
                json!(-1),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1.0,"method":"ping","params":{}}"#,
                json!(1.0),
            ),
        ] {
            let Ok(Sent::One(Message::Request(request))) = Sent::parse(body.as_bytes()) else {
                panic!("{body}");
            };
            assert_eq!((request.id, request.method.as_str()), (id, "ping"));
        }
        let notification = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(Sent::parse(notification), Ok(Sent::One(Message::Notification)));
        let batch = br#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#;
        let both = vec![Message::Notification, Message::Notification];
        assert_eq!(Sent::parse(batch), Ok(Sent::Batch(both)));
    }

    #[test]
    fn what_is_no_message_has_the_code_of_json_rpc() {
        for (body, code, id) in [
            ("", Fault::PARSE_ERROR, Value::Null),
            ("{", Fault::PARSE_ERROR, Value::Null),
            ("1", Fault::INVALID_REQUEST, Value::Null),
            ("[]", Fault::INVALID_REQUEST, Value::Null),
            ("[1]", Fault::INVALID_REQUEST, Value::Null),
            (r#"{"id":1,"method":"a"}"#, Fault::INVALID_REQUEST, json!(1)),
            (
                r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
                Fault::INVALID_REQUEST,
                json!(1),
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
                Fault::INVALID_REQUEST,
                Value::Null,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#,
                Fault::INVALID_REQUEST,
                Value::Null,
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, Fault::INVALID_REQUEST, json!(1)),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
                Fault::INVALID_REQUEST,
                json!(1),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#,
                Fault::INVALID_PARAMS,
                json!(1),
            ),
        ] {
            assert_eq!(fault(body), (code, id), "{body}");
        }
        let many = format!("[{}1]", "1,".repeat(MAX_BATCH));
        assert_eq!(fault(&many).0, Fault::INVALID_REQUEST);
    }
}
