//! Kubo's answers, read from bytes. Pure, and bounded by what the caller has read.

use std::collections::BTreeMap;

use cid::Cid;
use serde::Deserialize;

use crate::block::parse_cid;

/// Characters kept of a message that comes from outside.
const MAX_MESSAGE_CHARS: usize = 240;

/// The longest CID text looked at: decoding base58 takes time quadratic in the length.
const MAX_CID_CHARS: usize = 128;

/// What `version` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KuboVersion {
    /// Its version, such as `0.34.1`; of js-ipfs too.
    #[serde(rename = "Version", deserialize_with = "printable_text")]
    pub version: String,
}

/// What `dag/import` answers about the roots of a CAR.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportAnswer {
    /// The roots, in the order of their lines.
    pub roots: Vec<Cid>,
    /// The first complaint: a root that was not pinned, or an error in the middle of the stream.
    pub complaint: Option<String>,
}

/// An answer that is not Kubo's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of Kubo's RPC")]
pub struct UnreadableAnswer;

#[derive(Deserialize)]
struct ImportLine {
    #[serde(rename = "Root")]
    root: Option<RootLine>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

#[derive(Deserialize)]
struct RootLine {
    #[serde(rename = "Cid")]
    cid: Link,
    #[serde(rename = "PinErrorMsg", default)]
    pin_error: String,
}

/// DAG-JSON's link.
#[derive(Deserialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}

#[derive(Deserialize)]
struct Pins {
    #[serde(rename = "Keys", default)]
    keys: Option<BTreeMap<String, Pin>>,
}

#[derive(Deserialize)]
struct Pin {
    #[serde(rename = "Type")]
    kind: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "Message")]
    message: String,
}

/// Reads the answer to `dag/import`: JSON objects one after the other, a root, statistics, or an error each.
///
/// # Errors
/// [`UnreadableAnswer`] for anything else, and for a root whose CID is none of this pool's kind.
pub fn import(bytes: &[u8]) -> Result<ImportAnswer, UnreadableAnswer> {
    let mut answer = ImportAnswer::default();
    for line in serde_json::Deserializer::from_slice(bytes).into_iter::<ImportLine>() {
        let line = line.map_err(|_| UnreadableAnswer)?;
        if let Some(root) = line.root {
            answer
                .roots
                .push(parse_cid(&root.cid.cid).map_err(|_| UnreadableAnswer)?);
            complain(&mut answer, &root.pin_error);
        }
        complain(&mut answer, line.message.as_deref().unwrap_or_default());
    }
    Ok(answer)
}

fn complain(answer: &mut ImportAnswer, text: &str) {
    if !text.is_empty() && answer.complaint.is_none() {
        answer.complaint = Some(printable(text));
    }
}

/// Reads the answer to `pin/ls` about one CID: whether it is pinned with everything below it. Kubo answers with one
/// object, a streaming node with one for each pin.
///
/// # Errors
/// [`UnreadableAnswer`].
pub fn is_pinned(bytes: &[u8], cid: &Cid) -> Result<bool, UnreadableAnswer> {
    // In whatever base it writes them.
    let is_it = |name: &str| {
        name.len() <= MAX_CID_CHARS && Cid::try_from(name).is_ok_and(|named| named == *cid)
    };
    let mut pinned = false;
    for line in serde_json::Deserializer::from_slice(bytes).into_iter::<Pins>() {
        let keys = line.map_err(|_| UnreadableAnswer)?.keys;
        pinned |= keys.is_some_and(|keys| {
            keys.iter()
                .any(|(name, pin)| pin.kind == "recursive" && is_it(name))
        });
    }
    Ok(pinned)
}

/// Reads the answer to `version`.
///
/// # Errors
/// [`UnreadableAnswer`].
pub fn version(bytes: &[u8]) -> Result<KuboVersion, UnreadableAnswer> {
    serde_json::from_slice(bytes).map_err(|_| UnreadableAnswer)
}

/// The message of an answer that reports a failure, if it is one of Kubo's.
#[must_use]
pub fn failure(bytes: &[u8]) -> Option<String> {
    let failure: Failure = serde_json::from_slice(bytes).ok()?;
    Some(printable(&failure.message))
}

/// Fit for a log line.
fn printable(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_MESSAGE_CHARS).collect()
}

fn printable_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(printable(&String::deserialize(deserializer)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    const CID: &str = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";

    fn cid() -> Cid {
        parse_cid(CID).unwrap()
    }

    /// Answers of Kubo 0.22 and js-ipfs 0.66.
    #[test]
    fn an_import_names_its_roots() {
        let line = format!(r#"{{"Root":{{"Cid":{{"/":"{CID}"}},"PinErrorMsg":""}}}}"#);
        let stats = r#"{"Stats":{"BlockCount":3,"BlockBytesCount":120}}"#;
        for text in [
            line.clone(),
            format!("{line}\n"),
            format!("{line}\n{stats}\n"),
        ] {
            let answer = import(text.as_bytes()).unwrap();
            assert_eq!((answer.roots, answer.complaint), (vec![cid()], None));
        }
        assert_eq!(import(b"").unwrap(), ImportAnswer::default());
    }

    #[test]
    fn complaints_of_an_import_are_kept() {
        let unpinned =
            format!(r#"{{"Root":{{"Cid":{{"/":"{CID}"}},"PinErrorMsg":"block\nnot found"}}}}"#);
        let answer = import(unpinned.as_bytes()).unwrap();
        assert_eq!(answer.complaint.as_deref(), Some("blocknot found"));
        let error = br#"{"Message":"unexpected EOF","Code":0,"Type":"error"}"#;
        let answer = import(error).unwrap();
        assert_eq!(answer.roots, []);
        assert_eq!(answer.complaint.as_deref(), Some("unexpected EOF"));
    }

    #[test]
    fn what_is_no_answer_is_unreadable() {
        for bytes in [
            &b"<html>"[..],
            b"404 page not found",
            br#"{"Root":{"Cid":{"/":"no cid"}}}"#,
            br#"{"Root":{"Cid":"bafy"}}"#,
            br#"{"Root":"#,
            b"[1]",
        ] {
            assert_eq!(import(bytes), Err(UnreadableAnswer), "{bytes:?}");
        }
        assert_eq!(version(b"{}"), Err(UnreadableAnswer));
        assert_eq!(is_pinned(b"<html>", &cid()), Err(UnreadableAnswer));
    }

    #[test]
    fn only_a_recursive_pin_of_the_root_itself_counts() {
        let keys = |cid: &str, kind: &str| format!(r#"{{"Keys":{{"{cid}":{{"Type":"{kind}"}}}}}}"#);
        let other = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua";
        for (text, expected) in [
            (keys(CID, "recursive"), true),
            (keys(CID, "direct"), false),
            (keys(CID, "indirect through bafy"), false),
            (keys(other, "recursive"), false),
            (
                format!("{}\n{}", keys(other, "recursive"), keys(CID, "recursive")),
                true,
            ),
            (r#"{"Keys":{}}"#.to_owned(), false),
            (r#"{"Keys":null}"#.to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_pinned(text.as_bytes(), &cid()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn messages_fit_a_log_line() {
        let long = format!(r#"{{"Message":"\u001b[31m{}"}}"#, "x".repeat(10_000));
        let message = failure(long.as_bytes()).unwrap();
        assert!(message.starts_with("[31mxxx") && message.len() == MAX_MESSAGE_CHARS);
        assert_eq!(failure(b"404 page not found"), None);
        let answer = version(b"{\"Version\":\"0.22\\n.0\",\"Commit\":\"\"}").unwrap();
        assert_eq!(answer.version, "0.22.0");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (import(&bytes), is_pinned(&bytes, &cid()), version(&bytes), failure(&bytes));
        }

        #[test]
        fn nor_does_json(text in r#"(\{"(Root|Keys|Message|Version)":("[a-z]{0,9}"|\{.{0,20}\}|[0-9]{1,30})\}){0,4}"#) {
            let bytes = text.as_bytes();
            let _ = (import(bytes), is_pinned(bytes, &cid()), version(bytes), failure(bytes));
        }
    }
}
