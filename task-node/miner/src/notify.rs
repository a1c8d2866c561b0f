//! The nine parameters of `mining.notify`, parsed once.

use serde_json::Value;

/// Far above any coinbase in use (p2pool's several hundred outputs stay below 40 kB).
const MAX_COINBASE_HALF: usize = 64 * 1024;
/// No block's merkle tree is deeper.
const MAX_BRANCH: usize = 32;
/// Job ids are opaque; this one is kept and sent back with every share.
const MAX_JOB_ID: usize = 128;

/// Which parameter of a notify cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// Fewer than nine.
    #[error("mining.notify has fewer than nine parameters")]
    TooFew,
    /// Of another type, length or alphabet than the protocol says.
    #[error("mining.notify: {0} cannot be read")]
    Parameter(&'static str),
}

/// A job as the pool gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifiedJob {
    /// The pool's name for it.
    pub id: String,
    /// Previous block hash in internal byte order.
    pub prev_hash: [u8; 32],
    /// The stripped coinbase before extranonce1.
    pub coinbase1: Vec<u8>,
    /// The stripped coinbase after extranonce2.
    pub coinbase2: Vec<u8>,
    /// Siblings from the coinbase to the merkle root, internal byte order.
    pub branch: Vec<[u8; 32]>,
    /// Header version before rolling.
    pub version: u32,
    /// The network's compact target, as it stands in the header.
    pub nbits: u32,
    /// The header time to start from.
    pub ntime: u32,
    /// Whether all earlier jobs are worthless now.
    pub clean_jobs: bool,
}

impl NotifiedJob {
    /// Parses the parameters; more than nine are ignored.
    ///
    /// # Errors
    /// [`NotifyError`] names the first that cannot be read.
    pub fn parse(params: &[Value]) -> Result<Self, NotifyError> {
        let [
            id,
            prev,
            coinb1,
            coinb2,
            branch,
            version,
            nbits,
            ntime,
            clean,
            ..,
        ] = params
        else {
            return Err(NotifyError::TooFew);
        };
        let id = id
            .as_str()
            .filter(|id| id.len() <= MAX_JOB_ID)
            .ok_or(NotifyError::Parameter("the job id"))?;
        let mut prev_hash: [u8; 32] =
            exactly(prev).ok_or(NotifyError::Parameter("the previous block hash"))?;
        // Stratum reverses the bytes of every 4-byte word.
        for word in prev_hash.chunks_exact_mut(4) {
            word.reverse();
        }
        let branch = branch
            .as_array()
            .filter(|siblings| siblings.len() <= MAX_BRANCH)
            .and_then(|siblings| siblings.iter().map(exactly).collect())
            .ok_or(NotifyError::Parameter("the merkle branch"))?;
        Ok(Self {
            id: id.to_owned(),
            prev_hash,
            coinbase1: at_most(coinb1, MAX_COINBASE_HALF)
                .ok_or(NotifyError::Parameter("coinb1"))?,
            coinbase2: at_most(coinb2, MAX_COINBASE_HALF)
                .ok_or(NotifyError::Parameter("coinb2"))?,
            branch,
            version: word(version).ok_or(NotifyError::Parameter("the version"))?,
            nbits: word(nbits).ok_or(NotifyError::Parameter("nbits"))?,
            ntime: word(ntime).ok_or(NotifyError::Parameter("ntime"))?,
            clean_jobs: clean
                .as_bool()
                .ok_or(NotifyError::Parameter("clean_jobs"))?,
        })
    }
}

/// Exactly `N` bytes of hex.
fn exactly<const N: usize>(value: &Value) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(value.as_str()?, &mut bytes).ok()?;
    Some(bytes)
}

/// At most `limit` bytes of hex.
pub(crate) fn at_most(value: &Value, limit: usize) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    if text.len() > 2 * limit {
        return None;
    }
    hex::decode(text).ok()
}

/// Eight hex digits, big-endian.
pub(crate) fn word(value: &Value) -> Option<u32> {
    exactly(value).map(u32::from_be_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The job of the first Stratum documentation (en.bitcoin.it/wiki/Stratum_mining_protocol).
    pub(crate) fn slush() -> Value {
        json!([
            "bf",
            "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000",
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008",
            "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000",
            [],
            "00000002",
            "1c2ac4af",
            "504e86b9",
            false
        ])
    }

    #[test]
    fn the_documented_job() {
        let job = NotifiedJob::parse(slush().as_array().unwrap()).unwrap();
        assert_eq!(job.id, "bf");
        assert_eq!(
            hex::encode(job.prev_hash),
            "f8b6164d19e2f65a2aae448f787fe66d61e57a48c0c6771b1e920b4400000000"
        );
        assert_eq!(
            (job.version, job.nbits, job.ntime),
            (2, 0x1c2a_c4af, 0x504e_86b9)
        );
        assert!(!job.clean_jobs && job.branch.is_empty());
    }

    #[test]
    fn every_parameter_is_checked() {
        let long = "00".repeat(MAX_COINBASE_HALF + 1);
        let bad: [(usize, Value); 16] = [
            (0, json!(1)),
            (0, json!("x".repeat(MAX_JOB_ID + 1))),
            (1, json!("00")),
            (1, json!(null)),
            (2, json!("0")),
            (2, json!(long)),
            (3, json!("zz")),
            (3, json!(long)),
            (4, json!("00")),
            (4, json!(["00"])),
            (4, json!(vec!["00".repeat(32); MAX_BRANCH + 1])),
            (5, json!(2)),
            (6, json!("1c2ac4af00")),
            (7, json!("")),
            (8, json!("true")),
            (8, json!(null)),
        ];
        for (index, value) in bad {
            let mut job = slush();
            job[index] = value.clone();
            assert!(
                matches!(
                    NotifiedJob::parse(job.as_array().unwrap()),
                    Err(NotifyError::Parameter(_))
                ),
                "{index} {value}"
            );
        }
        let short = slush().as_array().unwrap()[..8].to_vec();
        assert_eq!(NotifiedJob::parse(&short), Err(NotifyError::TooFew));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(texts in prop::collection::vec(".{0,70}", 0..12)) {
            let params: Vec<Value> = texts.into_iter().map(Value::from).collect();
            prop_assert!(NotifiedJob::parse(&params).is_err());
        }
    }
}
