//! Lines of JSON-RPC as Stratum speaks it.

use serde_json::{Value, json};

/// Text from the pool is cut to this before it reaches a log or a dashboard.
const MAX_TEXT: usize = 200;

/// A refusal the pool sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolError {
    /// Stratum's code, where the pool gave one.
    pub(crate) code: Option<i64>,
    pub(crate) message: String,
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) enum Incoming {
    /// The answer to one of our requests.
    Reply {
        id: u64,
        outcome: Result<Value, PoolError>,
    },
    /// A notification, or a request where `id` is not null.
    Call {
        id: Value,
        method: String,
        params: Vec<Value>,
    },
    /// A reply to nothing we asked.
    Unasked,
}

/// Reads a line; `None` if it is not a JSON object.
pub(crate) fn parse(line: &str) -> Option<Incoming> {
    let Value::Object(mut message) = serde_json::from_str(line).ok()? else {
        return None;
    };
    let id = message.remove("id").unwrap_or(Value::Null);
    if let Some(Value::String(method)) = message.remove("method") {
        let params = match message.remove("params") {
            Some(Value::Array(params)) => params,
            _ => Vec::new(),
        };
        return Some(Incoming::Call { id, method, params });
    }
    let Some(id) = id.as_u64() else {
        return Some(Incoming::Unasked);
    };
    // Some pools leave `error` out (ESP-Miner #917), others leave out `result`.
    let outcome = match message.remove("error") {
        None | Some(Value::Null) => Ok(message.remove("result").unwrap_or(Value::Null)),
        Some(error) => Err(pool_error(&error)),
    };
    Some(Incoming::Reply { id, outcome })
}

/// `[code, message, traceback]`, `{"code":, "message":}` or anything else.
fn pool_error(error: &Value) -> PoolError {
    let (code, message) = match error {
        Value::Array(parts) => (parts.first(), parts.get(1)),
        Value::Object(fields) => (fields.get("code"), fields.get("message")),
        other => (None, Some(other)),
    };
    PoolError {
        code: code.and_then(Value::as_i64),
        message: message
            .and_then(Value::as_str)
            .map_or_else(|| printable(&error.to_string()), printable),
    }
}

/// Text from the pool, fit for a terminal: no control characters, not endless.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_TEXT)
        .collect()
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> String {
    json!({"id": id, "method": method, "params": params}).to_string()
}

pub(crate) fn reply(id: &Value, result: &Value) -> String {
    json!({"id": id, "result": result, "error": null}).to_string()
}

pub(crate) fn refusal(id: &Value, code: i32, message: &str) -> String {
    json!({"id": id, "result": null, "error": [code, message, null]}).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_kinds() {
        assert_eq!(
            parse(r#"{"id":4,"result":true,"error":null}"#),
            Some(Incoming::Reply {
                id: 4,
                outcome: Ok(Value::Bool(true))
            })
        );
        assert_eq!(
            parse(r#"{"id":null,"method":"mining.ping","params":[]}"#),
            Some(Incoming::Call {
                id: Value::Null,
                method: "mining.ping".to_owned(),
                params: vec![]
            })
        );
        assert_eq!(
            parse(r#"{"id":"7","result":true}"#),
            Some(Incoming::Unasked)
        );
        for bad in ["", "[]", "null", "{", "\"id\"", "{\"id\":1}}"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reply_without_an_error_field_esp_miner_917() {
        assert_eq!(
            parse(r#"{"id":4,"result":true}"#),
            parse(r#"{"id":4,"result":true,"error":null}"#)
        );
    }

    #[test]
    fn refusals_in_every_form_pools_use() {
        for (error, code, message) in [
            (
                r#"[23,"Low difficulty share",null]"#,
                Some(23),
                "Low difficulty share",
            ),
            (
                r#"{"code":21,"message":"Job not found"}"#,
                Some(21),
                "Job not found",
            ),
            (r#""stale""#, None, "stale"),
            ("[]", None, "[]"),
            (r#"["23","text"]"#, None, "text"),
            ("7", None, "7"),
        ] {
            let line = format!(r#"{{"id":1,"result":null,"error":{error}}}"#);
            let Some(Incoming::Reply {
                outcome: Err(said), ..
            }) = parse(&line)
            else {
                unreachable!("{line}")
            };
            assert_eq!((said.code, said.message.as_str()), (code, message));
        }
    }

    #[test]
    fn text_from_the_pool_cannot_take_over_a_terminal() {
        let text = format!("\u{1b}[31mred\n{}", "x".repeat(10_000));
        let shown = printable(&text);
        assert!(shown.starts_with("[31mred"));
        assert_eq!(shown.chars().count(), MAX_TEXT);
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        assert_eq!(parse(&"[".repeat(100_000)), None);
        assert_eq!(
            parse(&format!("{{\"params\":{}", "[".repeat(100_000))),
            None
        );
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in ".{0,200}") {
            let _ = parse(&line);
        }
    }
}
