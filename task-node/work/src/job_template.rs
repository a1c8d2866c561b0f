//! What every miner's header of one template commits to, and all an auditor needs to rebuild it.

use std::fmt;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, ScriptBuf, TxOut};
use pow::NBits;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest, Sha256};

use crate::block_template::commitment_script;
use crate::merkle;
use crate::{BlockTemplate, CoinbaseError, PayoutScript, PoolTag};

/// The longest encoding of a job template that is read. Thirty-two siblings and sixteen outputs fit several times.
pub const MAX_JOB_TEMPLATE_BYTES: usize = 16 * 1024;
/// A block of 4,000,000 weight units has fewer than 2^16 transactions.
const MAX_BRANCH: usize = 16;
/// Enough for any payout script in use (a 2-of-3 is 34 bytes); bounds what is read from outside.
const MAX_SCRIPT_BYTES: usize = 520;
/// One output to the pool now; the share chain's list later needs a format of its own.
const MAX_OUTPUTS: usize = 16;

/// Why a job template cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobTemplateError {
    /// Height 0 or beyond a BIP34 push.
    #[error("height {0} cannot be mined")]
    Height(u32),
    /// More siblings than a block's tree has levels.
    #[error("a merkle branch of {0} siblings is longer than a block's tree is deep")]
    Branch(usize),
    /// No payout, or too many.
    #[error("a coinbase pays 1 to {MAX_OUTPUTS} outputs, not {0}")]
    Outputs(usize),
    /// A payout script that is too long.
    #[error("a payout script of {0} bytes is too long")]
    Script(usize),
    /// A value above 21 million BTC.
    #[error("an output of {0} satoshis is more than all there are")]
    Value(u64),
    /// The tag.
    #[error(transparent)]
    Coinbase(#[from] CoinbaseError),
    /// `mintime` after `curtime`.
    #[error("mintime lies after curtime")]
    Times,
    /// Not the canonical DAG-CBOR encoding of a job template.
    #[error("not the canonical encoding of a job template: {0}")]
    Encoding(String),
}

/// One payout output of a coinbase.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CoinbaseOutput {
    /// How much it pays.
    pub value: Amount,
    /// Whom it pays.
    pub script: ScriptBuf,
}

/// SHA-256 of a job template's canonical encoding: its name in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobTemplateId(pub [u8; 32]);

impl fmt::Debug for JobTemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobTemplateId({})", hex::encode(self.0))
    }
}

/// The part of a template that a share's proof commits to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct JobTemplate {
    height: u32,
    prev_hash: BlockHash,
    version: u32,
    nbits: NBits,
    min_time: u32,
    cur_time: u32,
    branch: Vec<merkle::Hash>,
    pool_tag: PoolTag,
    payouts: Vec<CoinbaseOutput>,
    witness_commitment: Option<[u8; 32]>,
}

/// The encoded form: a DAG-CBOR map, hashes as byte strings in internal order, values in satoshis.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    height: u32,
    prev: ByteArray<32>,
    version: u32,
    bits: u32,
    mintime: u32,
    curtime: u32,
    branch: Vec<ByteArray<32>>,
    tag: ByteBuf,
    payouts: Vec<(u64, ByteBuf)>,
    commitment: Option<ByteArray<32>>,
}

impl From<JobTemplate> for Wire {
    fn from(job: JobTemplate) -> Self {
        Self {
            height: job.height,
            prev: ByteArray::new(job.prev_hash.to_byte_array()),
            version: job.version,
            bits: job.nbits.to_consensus(),
            mintime: job.min_time,
            curtime: job.cur_time,
            branch: job.branch.into_iter().map(ByteArray::new).collect(),
            tag: ByteBuf::from(job.pool_tag.as_bytes()),
            payouts: job
                .payouts
                .into_iter()
                .map(|output| {
                    (
                        output.value.to_sat(),
                        ByteBuf::from(output.script.into_bytes()),
                    )
                })
                .collect(),
            commitment: job.witness_commitment.map(ByteArray::new),
        }
    }
}

impl TryFrom<Wire> for JobTemplate {
    type Error = JobTemplateError;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        if wire.height == 0 || wire.height > i32::MAX as u32 {
            return Err(JobTemplateError::Height(wire.height));
        }
        if wire.branch.len() > MAX_BRANCH {
            return Err(JobTemplateError::Branch(wire.branch.len()));
        }
        if wire.payouts.is_empty() || wire.payouts.len() > MAX_OUTPUTS {
            return Err(JobTemplateError::Outputs(wire.payouts.len()));
        }
        if wire.mintime > wire.curtime {
            return Err(JobTemplateError::Times);
        }
        let payouts = wire
            .payouts
            .into_iter()
            .map(|(sats, script)| {
                if script.len() > MAX_SCRIPT_BYTES {
                    return Err(JobTemplateError::Script(script.len()));
                }
                if sats > Amount::MAX_MONEY.to_sat() {
                    return Err(JobTemplateError::Value(sats));
                }
                Ok(CoinbaseOutput {
                    value: Amount::from_sat(sats),
                    script: ScriptBuf::from_bytes(script.into_vec()),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            height: wire.height,
            prev_hash: BlockHash::from_byte_array(wire.prev.into_array()),
            version: wire.version,
            nbits: NBits::from_consensus(wire.bits)
                .map_err(|error| JobTemplateError::Encoding(error.to_string()))?,
            min_time: wire.mintime,
            cur_time: wire.curtime,
            branch: wire.branch.into_iter().map(ByteArray::into_array).collect(),
            pool_tag: PoolTag::new(wire.tag.into_vec())?,
            payouts,
            witness_commitment: wire.commitment.map(ByteArray::into_array),
        })
    }
}

impl JobTemplate {
    /// The job template of a block template: its whole value goes to `payout`.
    #[must_use]
    pub fn new(template: &BlockTemplate, payout: &PayoutScript, pool_tag: PoolTag) -> Self {
        Self {
            height: template.height,
            prev_hash: template.prev_hash,
            version: template.version,
            nbits: template.nbits,
            min_time: template.min_time,
            cur_time: template.cur_time,
            branch: template.branch.clone(),
            pool_tag,
            payouts: vec![CoinbaseOutput {
                value: template.coinbase_value,
                script: payout.as_script().to_owned(),
            }],
            witness_commitment: template.witness_commitment,
        }
    }

    /// Height of the block to be mined.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The block it builds on.
    #[must_use]
    pub fn prev_hash(&self) -> BlockHash {
        self.prev_hash
    }

    /// Header version before rolling.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The network's compact target.
    #[must_use]
    pub fn nbits(&self) -> NBits {
        self.nbits
    }

    /// The lowest header time the network takes.
    #[must_use]
    pub fn min_time(&self) -> u32 {
        self.min_time
    }

    /// The header time a miner starts from.
    #[must_use]
    pub fn cur_time(&self) -> u32 {
        self.cur_time
    }

    /// The siblings from the coinbase to the merkle root.
    #[must_use]
    pub fn branch(&self) -> &[merkle::Hash] {
        &self.branch
    }

    /// The text in the coinbase script.
    #[must_use]
    pub fn pool_tag(&self) -> &PoolTag {
        &self.pool_tag
    }

    /// The outputs that pay somebody.
    #[must_use]
    pub fn payouts(&self) -> &[CoinbaseOutput] {
        &self.payouts
    }

    /// What the coinbase pays out in total.
    #[must_use]
    pub fn total_value(&self) -> Amount {
        // Sixteen outputs of at most 21 million BTC stay far below 2^64 satoshis.
        self.payouts.iter().map(|output| output.value).sum()
    }

    /// All outputs in order: the payouts, then the witness commitment.
    #[must_use]
    pub fn outputs(&self) -> Vec<TxOut> {
        let payouts = self.payouts.iter().map(|output| TxOut {
            value: output.value,
            script_pubkey: output.script.clone(),
        });
        let commitment = self.witness_commitment.iter().map(|hash| TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from_bytes(commitment_script(hash)),
        });
        payouts.chain(commitment).collect()
    }

    /// A job another pool made: what of it stands in a header, with a stand-in payout. Its coinbase comes whole
    /// through [`crate::Job::foreign`].
    #[cfg(test)]
    pub(crate) fn foreign(
        height: u32,
        header: &bitcoin::block::Header,
        branch: Vec<merkle::Hash>,
    ) -> Result<Self, JobTemplateError> {
        Self::try_from(Wire {
            height,
            prev: ByteArray::new(header.prev_blockhash.to_byte_array()),
            version: header.version.to_consensus() as u32,
            bits: header.bits.to_consensus(),
            mintime: header.time,
            curtime: header.time,
            branch: branch.into_iter().map(ByteArray::new).collect(),
            tag: ByteBuf::new(),
            payouts: vec![(0, ByteBuf::new())],
            commitment: None,
        })
    }

    /// The canonical DAG-CBOR encoding.
    ///
    /// # Errors
    /// [`JobTemplateError::Encoding`]; no job template is known to cause it.
    pub fn encode(&self) -> Result<Vec<u8>, JobTemplateError> {
        serde_ipld_dagcbor::to_vec(self)
            .map_err(|error| JobTemplateError::Encoding(error.to_string()))
    }

    /// Reads a canonical encoding of at most [`MAX_JOB_TEMPLATE_BYTES`].
    ///
    /// # Errors
    /// [`JobTemplateError`] names what is wrong; bytes that decode but are not canonical are refused too.
    pub fn decode(bytes: &[u8]) -> Result<Self, JobTemplateError> {
        if bytes.len() > MAX_JOB_TEMPLATE_BYTES {
            return Err(JobTemplateError::Encoding(format!("{} bytes", bytes.len())));
        }
        let job: Self = serde_ipld_dagcbor::from_slice(bytes)
            .map_err(|error| JobTemplateError::Encoding(error.to_string()))?;
        if job.encode()? != bytes {
            return Err(JobTemplateError::Encoding(
                "another form of the same value".to_owned(),
            ));
        }
        Ok(job)
    }

    /// Its name: SHA-256 of the encoding.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn id(&self) -> Result<JobTemplateId, JobTemplateError> {
        Ok(JobTemplateId(Sha256::digest(self.encode()?).into()))
    }
}
