//! The parameters all nodes of one task must agree on.
//!
//! Their digest stands in every bundle, so two nodes that run with different rules disagree by name ("other rules") and
//! not by a share somewhere in the middle that one of them finds wrong.

use std::fmt;

use bitcoin::{Amount, Network, ScriptBuf};
use ledger::Fee;
use pow::Work;
use serde::Serialize;
use serde_bytes::{ByteArray, Bytes};
use sha2::{Digest, Sha256};
use work::TaskId;

/// The first field of the encoding; its number changes with the meaning of any other field.
const FORMAT: &str = "orcapool/rules/1";
/// One script in use, one being rotated in or out, and as many again for an emergency.
pub const MAX_PAYOUT_SCRIPTS: usize = 4;
/// The longest payout script; the same bound as a job template's.
const MAX_SCRIPT_BYTES: usize = 520;
/// What most pools take.
const ONE_PERCENT: Fee = match Fee::from_ppm(10_000) {
    Ok(fee) => fee,
    Err(_) => Fee::NONE,
};
/// A day. Windows wider than that would make "was a tip during the round" mean nothing.
const MAX_SECONDS: u32 = 24 * 60 * 60;
/// Windows of more than a hundred blocks' work would need rounds nobody keeps.
const MAX_PPLNS_MULTIPLE: u32 = 100;

/// Why parameters cannot be the rules of a pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// No payout script, or too many.
    #[error("a pool accepts 1 to {MAX_PAYOUT_SCRIPTS} payout scripts, not {0}")]
    PayoutScripts(usize),
    /// A script nobody can have meant.
    #[error("a payout script has 1 to {MAX_SCRIPT_BYTES} bytes, not {0}")]
    ScriptLength(usize),
    /// The window's multiple.
    #[error("the PPLNS window is 1 to {MAX_PPLNS_MULTIPLE} times the network's work, not {0}")]
    PplnsMultiple(u32),
    /// A window that could be empty.
    #[error("the least PPLNS window must be more than no work, or nobody could be paid")]
    PplnsFloor,
    /// A time span longer than a day.
    #[error("{name} of {seconds} seconds is longer than a day")]
    Seconds {
        /// Which parameter.
        name: &'static str,
        /// Its value.
        seconds: u32,
    },
    /// The parameters do not encode; none are known to cause it.
    #[error("the rules cannot be encoded: {0}")]
    Encoding(String),
}

/// Unchecked parameters, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesParts {
    /// The Koii task.
    pub task: TaskId,
    /// The Bitcoin network.
    pub network: Network,
    /// What a coinbase may pay to. More than one while custody is being rotated.
    pub payout_scripts: Vec<ScriptBuf>,
    /// The operator's part of each share of its node.
    pub operator_fee: Fee,
    /// The PPLNS window in multiples of the network's expected work per block.
    pub pplns_multiple: u32,
    /// The least PPLNS window. On test networks a block is a handful of hashes.
    pub pplns_floor: Work,
    /// From how much on somebody's earnings get a leaf of the reward tree, which has only so many.
    pub leaf_minimum: Amount,
    /// How far header times may be off when the tip of a moment is looked up in them, in seconds.
    pub time_grace_seconds: u32,
    /// How much wider than an auditor saw it a round may be said to have been, in seconds: the difference of two nodes'
    /// clocks, and of the times at which Koii's drivers ask them (a submission window of 3000 slots is 20 minutes).
    pub clock_tolerance_seconds: u32,
}

impl RulesParts {
    /// The usual parameters for a task on `network` that pays `payout_script`: 1 % fee, two blocks' work, ten minutes'
    /// grace for header times, half an hour between two nodes' ends of a round.
    #[must_use]
    pub fn usual(task: TaskId, network: Network, payout_script: ScriptBuf) -> Self {
        Self {
            task,
            network,
            payout_scripts: vec![payout_script],
            operator_fee: ONE_PERCENT,
            pplns_multiple: 2,
            pplns_floor: Work::from_hashes(1 << 16),
            leaf_minimum: Amount::from_sat(1_000),
            time_grace_seconds: 600,
            clock_tolerance_seconds: 1800,
        }
    }
}

/// SHA-256 of the rules' encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesDigest(pub [u8; 32]);

impl fmt::Display for RulesDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RulesDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RulesDigest({self})")
    }
}

/// Checked rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRules {
    parts: RulesParts,
    digest: RulesDigest,
}

/// The encoded form: a DAG-CBOR map.
#[derive(Serialize)]
struct Wire<'a> {
    format: &'a str,
    task: ByteArray<32>,
    network: &'a str,
    payouts: Vec<&'a Bytes>,
    fee_ppm: u32,
    pplns_multiple: u32,
    pplns_floor: ByteArray<16>,
    leaf_minimum: u64,
    time_grace: u32,
    clock_tolerance: u32,
}

impl PoolRules {
    /// Checks the parameters. The order and repetition of payout scripts do not matter.
    ///
    /// # Errors
    /// [`RulesError`] names the first parameter that cannot be meant.
    pub fn new(mut parts: RulesParts) -> Result<Self, RulesError> {
        parts.payout_scripts.sort();
        parts.payout_scripts.dedup();
        let scripts = &parts.payout_scripts;
        if scripts.is_empty() || scripts.len() > MAX_PAYOUT_SCRIPTS {
            return Err(RulesError::PayoutScripts(scripts.len()));
        }
        if let Some(script) = scripts
            .iter()
            .find(|s| s.is_empty() || s.len() > MAX_SCRIPT_BYTES)
        {
            return Err(RulesError::ScriptLength(script.len()));
        }
        if parts.pplns_multiple == 0 || parts.pplns_multiple > MAX_PPLNS_MULTIPLE {
            return Err(RulesError::PplnsMultiple(parts.pplns_multiple));
        }
        if parts.pplns_floor == Work::ZERO {
            return Err(RulesError::PplnsFloor);
        }
        for (name, seconds) in [
            ("a time grace", parts.time_grace_seconds),
            ("a clock tolerance", parts.clock_tolerance_seconds),
        ] {
            if seconds > MAX_SECONDS {
                return Err(RulesError::Seconds { name, seconds });
            }
        }
        let digest = RulesDigest(Sha256::digest(encode(&parts)?).into());
        Ok(Self { parts, digest })
    }

    /// The canonical DAG-CBOR encoding, for people to compare when digests differ.
    ///
    /// # Errors
    /// [`RulesError::Encoding`]; no rules are known to cause it.
    pub fn encode(&self) -> Result<Vec<u8>, RulesError> {
        encode(&self.parts)
    }

    /// SHA-256 of the encoding.
    #[must_use]
    pub fn digest(&self) -> RulesDigest {
        self.digest
    }

    /// The Koii task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.parts.task
    }

    /// The Bitcoin network.
    #[must_use]
    pub fn network(&self) -> Network {
        self.parts.network
    }

    /// What a coinbase may pay to, sorted.
    #[must_use]
    pub fn payout_scripts(&self) -> &[ScriptBuf] {
        &self.parts.payout_scripts
    }

    /// The operator's part of each share of its node.
    #[must_use]
    pub fn operator_fee(&self) -> Fee {
        self.parts.operator_fee
    }

    /// The PPLNS window when the network expects `network_work` per block.
    #[must_use]
    pub fn pplns_window(&self, network_work: Work) -> Work {
        network_work
            .saturating_mul(u64::from(self.parts.pplns_multiple))
            .max(self.parts.pplns_floor)
    }

    /// From how much on somebody's earnings get a leaf.
    #[must_use]
    pub fn leaf_minimum(&self) -> Amount {
        self.parts.leaf_minimum
    }

    /// How far header times may be off, in seconds.
    #[must_use]
    pub fn time_grace_seconds(&self) -> u32 {
        self.parts.time_grace_seconds
    }

    /// How much wider than an auditor saw it a round may be said to have been, in seconds.
    #[must_use]
    pub fn clock_tolerance_seconds(&self) -> u32 {
        self.parts.clock_tolerance_seconds
    }

    /// All parameters.
    #[must_use]
    pub fn parts(&self) -> &RulesParts {
        &self.parts
    }
}

fn encode(parts: &RulesParts) -> Result<Vec<u8>, RulesError> {
    let wire = Wire {
        format: FORMAT,
        task: ByteArray::new(*parts.task.as_bytes()),
        network: parts.network.to_core_arg(),
        payouts: parts
            .payout_scripts
            .iter()
            .map(|s| Bytes::new(s.as_bytes()))
            .collect(),
        fee_ppm: parts.operator_fee.to_ppm(),
        pplns_multiple: parts.pplns_multiple,
        pplns_floor: ByteArray::new(parts.pplns_floor.to_hashes().to_be_bytes()),
        leaf_minimum: parts.leaf_minimum.to_sat(),
        time_grace: parts.time_grace_seconds,
        clock_tolerance: parts.clock_tolerance_seconds,
    };
    serde_ipld_dagcbor::to_vec(&wire).map_err(|error| RulesError::Encoding(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts() -> RulesParts {
        RulesParts::usual(
            TaskId::from_bytes([1; 32]),
            Network::Regtest,
            ScriptBuf::from_bytes(vec![0x51]),
        )
    }

    #[test]
    fn every_parameter_changes_the_digest() {
        let base = PoolRules::new(parts()).unwrap().digest();
        let changes: [fn(&mut RulesParts); 9] = [
            |p| p.task = TaskId::from_bytes([2; 32]),
            |p| p.network = Network::Signet,
            |p| p.payout_scripts.push(ScriptBuf::from_bytes(vec![0x52])),
            |p| p.operator_fee = Fee::NONE,
            |p| p.pplns_multiple += 1,
            |p| p.pplns_floor = Work::from_hashes(1),
            |p| p.leaf_minimum = Amount::ONE_SAT,
            |p| p.time_grace_seconds += 1,
            |p| p.clock_tolerance_seconds += 1,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = parts();
            change(&mut changed);
            assert_ne!(
                PoolRules::new(changed).unwrap().digest(),
                base,
                "parameter {index}"
            );
        }
    }

    #[test]
    fn the_order_of_scripts_does_not_matter() {
        let (a, b) = (
            ScriptBuf::from_bytes(vec![0x51]),
            ScriptBuf::from_bytes(vec![0x52]),
        );
        let mut one = parts();
        one.payout_scripts = vec![a.clone(), b.clone()];
        let mut other = parts();
        other.payout_scripts = vec![b, a.clone(), a];
        assert_eq!(PoolRules::new(one).unwrap(), PoolRules::new(other).unwrap());
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |change: fn(&mut RulesParts)| {
            let mut changed = parts();
            change(&mut changed);
            PoolRules::new(changed).unwrap_err()
        };
        assert_eq!(
            refused(|p| p.payout_scripts.clear()),
            RulesError::PayoutScripts(0)
        );
        assert_eq!(
            refused(|p| p.payout_scripts = vec![ScriptBuf::new()]),
            RulesError::ScriptLength(0)
        );
        assert_eq!(
            refused(|p| p.pplns_multiple = 0),
            RulesError::PplnsMultiple(0)
        );
        assert!(matches!(
            refused(|p| p.time_grace_seconds = u32::MAX),
            RulesError::Seconds { .. }
        ));
    }

    #[test]
    fn the_window_is_a_multiple_with_a_floor() {
        let rules = PoolRules::new(parts()).unwrap();
        assert_eq!(
            rules.pplns_window(Work::from_hashes(2)),
            Work::from_hashes(1 << 16)
        );
        assert_eq!(
            rules.pplns_window(Work::from_hashes(1 << 40)),
            Work::from_hashes(1 << 41)
        );
    }
}
