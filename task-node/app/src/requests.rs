//! Bodies of the Koii routes, parsed once into checked types.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use cid::Cid;
use content::NodeUrl;
use pow::Work;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use work::{K2Address, RoundNumber, TaskId};

/// The list for Koii: staking key (base58) to integer amount in the bounty's base units.
pub type OperatorList = BTreeMap<String, i64>;

/// What a node says of a sealed round. None of these names is one of the wrapper's own (`taskId`, `roundNumber`,
/// `stakingKey`), which a container's field of the same name would override.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionView {
    /// The bundle's CID.
    #[schema(value_type = String)]
    #[serde(with = "text")]
    pub cid: Cid,
    /// Shares in the bundle.
    pub shares: u64,
    /// Their work: expected hashes, as a decimal string because JavaScript numbers end at 2^53.
    #[schema(value_type = String)]
    #[serde(with = "decimal")]
    pub work: Work,
    /// The same in units of difficulty 1, for people.
    pub difficulty: f64,
    /// The Merkle-sum root of the shares, hex.
    pub root: String,
    /// Where the submitter's node gives out the bundle itself: `http.public_url`, base of `/ipfs/<cid>`. It helps to find the
    /// bundle and decides nothing, so anything else that stands here is as good as nothing.
    #[schema(value_type = Option<String>)]
    #[serde(default, with = "node_url", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<NodeUrl>,
}

/// `POST /audit`
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRequest {
    /// The submission whose signature the wrapper has checked.
    pub submission: SignedSubmission,
    /// Hash of a K2 block later than the submission, 32 bytes of hex. With it a bundle above `audit.max_bundle_bytes` is
    /// audited by sample, without it not at all; a smaller one is audited whole either way.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub seed: Option<SampleSeed>,
}

/// The part of `POST /audit` that the wrapper vouches for; what else a submission holds is its submitter's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEnvelope {
    pub(crate) submission: SubmissionEnvelope,
    #[serde(default, rename = "seed")]
    _seed: Option<SampleSeed>,
}

/// The wrapper's fields of a submission.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmissionEnvelope {
    #[serde(rename = "taskId")]
    _task: TaskId,
    #[serde(rename = "roundNumber")]
    pub(crate) round: RoundNumber,
    #[serde(rename = "stakingKey")]
    pub(crate) node: K2Address,
}

/// What the choice of a sample depends on: the hash of a K2 block that was not there yet when the bundle was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
pub struct SampleSeed(pub [u8; 32]);

impl FromStr for SampleSeed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text, &mut seed).map_err(|_| SeedError)?;
        Ok(Self(seed))
    }
}

impl TryFrom<Cow<'_, str>> for SampleSeed {
    type Error = SeedError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, SeedError> {
        text.parse()
    }
}

/// A text that is no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 64 hex digits: the hash of a K2 block later than the submission")]
pub struct SeedError;

/// A node's submission with the wrapper's fields. Fields of later versions are ignored.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedSubmission {
    /// The Koii task, base58.
    #[schema(value_type = String)]
    pub task_id: TaskId,
    /// The round.
    #[schema(value_type = u64)]
    pub round_number: RoundNumber,
    /// The submitter, base58.
    #[schema(value_type = String)]
    pub staking_key: K2Address,
    /// What its node said.
    #[serde(flatten)]
    pub view: SubmissionView,
}

/// `POST /distribution/{round}`
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DistributionRequest {
    /// What the list must sum to, in the bounty's base units.
    pub bounty: u64,
    /// The round's submissions; those of earlier rounds may come along where this node has not seen them.
    pub submissions: Vec<JudgedSubmission>,
    /// The rounds that `submissions` lists completely; only the request's own if absent.
    #[serde(default)]
    #[schema(value_type = Option<Vec<u64>>)]
    pub rounds: Option<Vec<RoundNumber>>,
    /// The first round of the task's history; round 0 if absent.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub first_round: Option<RoundNumber>,
}

/// A submission with the outcome of its audit on K2.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgedSubmission {
    /// The round; the request's own if absent.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub round_number: Option<RoundNumber>,
    /// The submitter, base58.
    #[schema(value_type = String)]
    pub staking_key: K2Address,
    /// Its bundle. Whatever else stands here was submitted by somebody who is not paid, and is no error: it would keep
    /// everybody else from being paid.
    #[schema(value_type = String)]
    #[serde(default, deserialize_with = "text::deserialize_if_any")]
    pub cid: Option<Cid>,
    /// Where the submitter's node gives it out itself; as in the submission.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "node_url::deserialize")]
    pub gateway: Option<NodeUrl>,
    /// Votes for less votes against, as Koii's distribution gets them: paid when above zero. Absent: accepted.
    #[serde(default)]
    pub votes: Option<i64>,
}

/// CIDs as text; the `cid` crate's own form is for DAG-CBOR.
mod text {
    use std::borrow::Cow;

    use cid::Cid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// No CID of ours is longer than 59 characters.
    const MAX_CHARACTERS: usize = 128;

    pub(super) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        parse(&text).map_err(D::Error::custom)
    }

    /// `None` for any JSON that is not a CID.
    pub(super) fn deserialize_if_any<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Cid>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(value.as_str().and_then(|text| parse(text).ok()))
    }

    fn parse(text: &str) -> Result<Cid, String> {
        if text.len() > MAX_CHARACTERS {
            return Err("not a CID: too long".to_owned());
        }
        text.parse().map_err(|error| format!("not a CID: {error}"))
    }
}

/// A node's URL as text; anything else is none.
mod node_url {
    use content::NodeUrl;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        url: &Option<NodeUrl>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match url {
            Some(url) => serializer.collect_str(url),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NodeUrl>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(value.as_str().and_then(|text| text.parse().ok()))
    }
}

/// Work as a decimal string.
mod decimal {
    use std::borrow::Cow;

    use pow::Work;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(work: &Work, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(work)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Work, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse()
            .map(Work::from_hashes)
            .map_err(|_| D::Error::custom("work is a decimal number of hashes in a string"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    const CID: &str = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua";
    const KEY: &str = "KPLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN";

    #[test]
    fn a_submission_never_overrides_the_wrapper_s_fields() {
        let view = SubmissionView {
            cid: CID.parse().unwrap(),
            shares: 1,
            work: Work::from_hashes(u128::MAX),
            difficulty: 0.5,
            root: "00".to_owned(),
            gateway: Some("http://203.0.113.9:8338".parse().unwrap()),
        };
        let json = serde_json::to_value(&view).unwrap();
        for name in ["taskId", "roundNumber", "stakingKey"] {
            assert!(json.get(name).is_none());
        }
        assert_eq!(
            serde_json::from_value::<SubmissionView>(json).unwrap(),
            view
        );
    }

    /// Nodes of before `gateway`, and nodes whose submitter put something else there.
    #[test]
    fn no_gateway_is_ever_an_error() {
        let submission = |gateway: Option<serde_json::Value>| {
            let mut submission = json!({"taskId": KEY, "roundNumber": 3, "stakingKey": KEY, "cid": CID, "shares": 2,
                "work": "5", "difficulty": 4.3, "root": "ab"});
            if let Some(gateway) = gateway {
                submission["gateway"] = gateway;
            }
            submission
        };
        let read = |gateway: Option<serde_json::Value>| {
            let submission = submission(gateway);
            let audit = json!({"submission": submission});
            let audit: AuditRequest = serde_json::from_value(audit).unwrap();
            let list = json!({"bounty": 1, "submissions": [submission]});
            let list: DistributionRequest = serde_json::from_value(list).unwrap();
            let [judged] = &list.submissions[..] else {
                panic!("one was given");
            };
            assert_eq!(judged.cid, Some(audit.submission.view.cid));
            assert_eq!(judged.gateway, audit.submission.view.gateway);
            judged.gateway.clone()
        };
        let good = "http://203.0.113.9:8338";
        assert_eq!(read(Some(json!(good))), Some(good.parse().unwrap()));
        for bad in [
            json!(null),
            json!(5),
            json!(true),
            json!({"url": good}),
            json!([good]),
            json!(""),
            json!("nowhere"),
            json!("ftp://203.0.113.9"),
            json!("http://u:p@203.0.113.9:8338"),
            json!(format!("http://{}", "a".repeat(100_000))),
        ] {
            assert_eq!(read(Some(bad.clone())), None, "{bad}");
        }
        assert_eq!(read(None), None);
        let silent = SubmissionView {
            gateway: None,
            ..serde_json::from_value(submission(None)).unwrap()
        };
        let json = serde_json::to_value(silent).unwrap();
        assert!(json.get("gateway").is_none(), "{json}");
    }

    #[test]
    fn the_seed_of_an_audit_is_32_bytes_of_hex() {
        let with = |seed| {
            let submission = json!({"taskId": KEY, "roundNumber": 3, "stakingKey": KEY, "cid": CID, "shares": 2,
                "work": "5", "difficulty": 4.3, "root": "ab"});
            let request = json!({"submission": submission, "seed": seed});
            serde_json::from_value::<AuditRequest>(request).map(|request| request.seed)
        };
        assert_eq!(with(json!(null)).unwrap(), None);
        let seed = Some(SampleSeed([0xab; 32]));
        assert_eq!(with(json!("ab".repeat(32))).unwrap(), seed);
        assert_eq!(with(json!("AB".repeat(32))).unwrap(), seed);
        for bad in [
            json!(""),
            json!("ab".repeat(31)),
            json!("ab".repeat(33)),
            json!("xy".repeat(32)),
            json!(5),
        ] {
            assert!(with(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_audit_request_is_the_wrapper_s_envelope() {
        let good = json!({"submission": {
            "taskId": KEY, "roundNumber": 3, "stakingKey": KEY, "action": "audit",
            "cid": CID, "shares": 2, "work": "18446744073709551617", "difficulty": 4.3, "root": "ab"}});
        let request: AuditRequest = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(request.submission.round_number.get(), 3);
        assert_eq!(request.submission.view.work.to_hashes(), (1_u128 << 64) + 1);
        for (field, bad) in [
            ("roundNumber", json!(-1)),
            ("roundNumber", json!("3")),
            ("roundNumber", json!(9_007_199_254_740_992_u64)),
            ("stakingKey", json!("nobody")),
            ("cid", json!("not a cid")),
            ("cid", json!("b".repeat(100_000))),
            ("work", json!(5)),
            ("work", json!("-5")),
            ("work", json!("340282366920938463463374607431768211456")),
        ] {
            let mut request = good.clone();
            request["submission"][field] = bad;
            assert!(
                serde_json::from_value::<AuditRequest>(request).is_err(),
                "{field}"
            );
        }
    }
}
