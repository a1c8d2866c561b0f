//! `mining.notify`, serialised once per template and patched per client.
//!
//! A new block makes every session wait for this message, so per client there is one copy and three fixed-width writes:
//! the job id, the claim hash inside `coinb1` and `clean_jobs`, which comes last.

use std::fmt;
use std::str::FromStr;

use crate::JobTemplate;
use crate::coinbase::CoinbaseParts;
use crate::hex_fields::{bits, stratum_prev_hash, word};

/// The name of a job within one Stratum session: eight hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u32);

impl JobId {
    const HEX_DIGITS: usize = 8;
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::hex_fields::exactly(text)
            .map(|bytes| Self(u32::from_be_bytes(bytes)))
            .ok_or(())
    }
}

/// A notify line without its per-client fields.
#[derive(Debug)]
pub struct PreparedNotify {
    line: Vec<u8>,
    job_id_at: usize,
    claim_at: usize,
}

const HEAD: &str = r#"{"id":null,"method":"mining.notify","params":[""#;
const CLAIM_HEX_DIGITS: usize = 64;

impl PreparedNotify {
    pub(crate) fn new(job: &JobTemplate, coinbase: &CoinbaseParts) -> Self {
        let mut line = String::with_capacity(1024);
        line.push_str(HEAD);
        let job_id_at = line.len();
        line.push_str(&"0".repeat(JobId::HEX_DIGITS));
        line.push_str("\",\"");
        line.push_str(&stratum_prev_hash(job.prev_hash().as_ref()));
        line.push_str("\",\"");
        line.push_str(&hex::encode(&coinbase.before_claim));
        let claim_at = line.len();
        line.push_str(&"0".repeat(CLAIM_HEX_DIGITS));
        line.push_str(&hex::encode(&coinbase.before_extranonce));
        line.push_str("\",\"");
        line.push_str(&hex::encode(&coinbase.after_extranonce));
        line.push_str("\",[");
        let branch: Vec<String> = job
            .branch()
            .iter()
            .map(|sibling| format!("\"{}\"", hex::encode(sibling)))
            .collect();
        line.push_str(&branch.join(","));
        line.push_str("],\"");
        line.push_str(&word(job.version()));
        line.push_str("\",\"");
        line.push_str(&bits(job.nbits()));
        line.push_str("\",\"");
        line.push_str(&word(job.cur_time()));
        line.push_str("\",");
        Self {
            line: line.into_bytes(),
            job_id_at,
            claim_at,
        }
    }

    /// The line for one client, newline included.
    #[must_use]
    pub fn line(&self, job_id: JobId, claim_hash: &[u8; 32], clean_jobs: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.line.len() + 8);
        line.extend_from_slice(&self.line);
        line[self.job_id_at..self.job_id_at + JobId::HEX_DIGITS]
            .copy_from_slice(job_id.to_string().as_bytes());
        line[self.claim_at..self.claim_at + CLAIM_HEX_DIGITS]
            .copy_from_slice(hex::encode(claim_hash).as_bytes());
        line.extend_from_slice(if clean_jobs {
            b"true]}\n"
        } else {
            b"false]}\n"
        });
        line
    }
}
