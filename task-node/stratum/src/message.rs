//! Lines in and lines out: JSON-RPC as Stratum V1 clients speak it.

use serde::Deserialize;
use serde_json::{Value, json};
use work::RejectReason;

/// The longest line a client may send, newline included. The longest honest one, a `mining.configure` with every extension,
/// has a few hundred bytes.
pub const MAX_LINE_BYTES: usize = 8 * 1024;

/// Ids are kept while shares are recorded, so they are bounded.
const MAX_ID_BYTES: usize = 64;

/// The id of a request, repeated in its reply. Clients use numbers, strings and `null`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestId(Value);

impl RequestId {
    pub(crate) const NONE: Self = Self(Value::Null);
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// A call that is answered.
    Request {
        id: RequestId,
        method: String,
        params: Vec<Value>,
    },
    /// An answer to something the server sent (`client.get_version`, `mining.ping`).
    Reply,
}

/// Why a line is not a message. The first field is where the refusal goes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("not a JSON object: send one request a line")]
    NotJson,
    #[error("batches are not supported: send one request a line")]
    Batch,
    #[error("the id of a request is a number, a string of at most 64 bytes or null")]
    Id,
    #[error("a request has a method")]
    NoMethod,
    #[error("params must be an array")]
    Params(RequestId),
}

impl MessageError {
    pub(crate) fn id(self) -> RequestId {
        match self {
            Self::Params(id) => id,
            _ => RequestId::NONE,
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    method: Option<Value>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

impl Incoming {
    /// Reads one line without its newline.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, MessageError> {
        // A struct would also be read from an array, field by field.
        match line.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {}
            Some(b'[') => return Err(MessageError::Batch),
            _ => return Err(MessageError::NotJson),
        }
        let wire: Wire = serde_json::from_slice(line).map_err(|_| MessageError::NotJson)?;
        let id = match wire.id {
            id @ (Value::Number(_) | Value::Null) => RequestId(id),
            Value::String(text) if text.len() <= MAX_ID_BYTES => RequestId(Value::String(text)),
            _ => return Err(MessageError::Id),
        };
        let Some(Value::String(method)) = wire.method else {
            return if wire.method.is_none() && (wire.result.is_some() || wire.error.is_some()) {
                Ok(Self::Reply)
            } else {
                Err(MessageError::NoMethod)
            };
        };
        let params = match wire.params {
            Value::Array(params) => params,
            Value::Null => Vec::new(),
            _ => return Err(MessageError::Params(id)),
        };
        Ok(Self::Request { id, method, params })
    }
}

/// A refusal: the code clients know and a text that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: i16,
    pub(crate) text: String,
}

impl Refusal {
    /// 20: anything without a code of its own.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self {
            code: 20,
            text: text.into(),
        }
    }

    /// 24: not authorized for what the request names.
    pub(crate) fn unauthorized(text: impl Into<String>) -> Self {
        Self {
            code: 24,
            text: text.into(),
        }
    }

    /// 25: not subscribed.
    pub(crate) fn not_subscribed() -> Self {
        Self {
            code: 25,
            text: "Not subscribed: send mining.subscribe first".to_owned(),
        }
    }

    /// -3: no such method (Slush's original specification).
    pub(crate) fn unknown_method(method: &str) -> Self {
        // Only a piece of it: the text is the client's.
        let shown: String = method.chars().take(40).collect();
        Self {
            code: -3,
            text: format!("Method '{shown}' not found"),
        }
    }
}

impl From<RejectReason> for Refusal {
    fn from(reason: RejectReason) -> Self {
        Self {
            // 20 to 25.
            code: reason.stratum_code() as i16,
            text: reason.to_string(),
        }
    }
}

/// A reply to `id`. All three members are always there (ESP-Miner #917).
pub(crate) fn reply(id: &RequestId, outcome: &Result<Value, Refusal>) -> Vec<u8> {
    let (result, error) = match outcome {
        Ok(result) => (result.clone(), Value::Null),
        Err(refusal) => (Value::Null, json!([refusal.code, refusal.text, null])),
    };
    line(&json!({"id": id.0, "result": result, "error": error}))
}

/// A reply whose result is already JSON.
pub(crate) fn reply_raw(id: &RequestId, result: &str) -> Vec<u8> {
    format!("{{\"id\":{},\"result\":{result},\"error\":null}}\n", id.0).into_bytes()
}

/// A call of the server, to be answered by nobody.
pub(crate) fn notification(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"id": null, "method": method, "params": params}))
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_repeated_as_they_came() {
        for id in ["7", "\"seven\"", "null", "-1", "18446744073709551615"] {
            let line = format!("{{\"id\":{id},\"method\":\"mining.ping\"}}");
            let Ok(Incoming::Request { id: parsed, .. }) = Incoming::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            let reply = String::from_utf8(reply(&parsed, &Ok(json!("pong")))).unwrap();
            assert!(reply.contains(&format!("\"id\":{id}")), "{reply}");
            let raw = String::from_utf8(reply_raw(&parsed, "[]")).unwrap();
            assert!(raw.contains(&format!("\"id\":{id}")), "{raw}");
        }
    }

    #[test]
    fn what_is_no_message_is_named() {
        let long_id = format!(
            "{{\"id\":\"{}\",\"method\":\"mining.ping\"}}",
            "i".repeat(65)
        );
        for (line, error) in [
            ("", MessageError::NotJson),
            ("GET / HTTP/1.1", MessageError::NotJson),
            ("{\"id\":1", MessageError::NotJson),
            (
                "[{\"id\":1,\"method\":\"mining.ping\"}]",
                MessageError::Batch,
            ),
            ("{\"id\":[1],\"method\":\"mining.ping\"}", MessageError::Id),
            (long_id.as_str(), MessageError::Id),
            ("{\"id\":1}", MessageError::NoMethod),
            (
                "{\"id\":1,\"method\":7,\"result\":1}",
                MessageError::NoMethod,
            ),
        ] {
            assert_eq!(Incoming::parse(line.as_bytes()), Err(error), "{line}");
        }
        assert!(matches!(
            Incoming::parse(b"{\"id\":1,\"method\":\"a\",\"params\":{}}"),
            Err(MessageError::Params(_))
        ));
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let mut line = b"{\"id\":1,\"method\":\"a\",\"params\":".to_vec();
        line.extend(std::iter::repeat_n(b'[', 4_000));
        assert_eq!(Incoming::parse(&line), Err(MessageError::NotJson));
    }

    #[test]
    fn answers_of_clients_are_tolerated() {
        for line in [
            "{\"id\":3,\"result\":\"cgminer/4.12\",\"error\":null}",
            "{\"id\":3,\"result\":null,\"error\":[20,\"no\",null]}",
        ] {
            assert_eq!(Incoming::parse(line.as_bytes()), Ok(Incoming::Reply));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = Incoming::parse(&bytes);
        }
    }
}
