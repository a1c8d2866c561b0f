//! A Koii round: collect, seal to a bundle, audit, distribute.
//!
//! The way of a round through this crate:
//!
//! 1. [`PoolRules`] - what all nodes of a task agree on; its digest stands in every bundle.
//! 2. [`BundleBuilder`] - a round's shares become content-addressed blocks, the same on every machine.
//! 3. [`Bundle`] - the blocks read back; anything but the one canonical form is refused.
//! 4. [`audit()`] - whether a bundle is what its node submitted it as; [`chunks_to_open`] where it is too large to fetch.
//! 5. [`PayoutWindow`], [`distribute`] - accepted bundles become what the ledger divides.
//! 6. [`DecidedRound`], [`Settlement`], [`EncodedRewardList`] - once its blocks have matured, a round is divided for good,
//!    and everybody can read what is theirs.
//!
//! These are pure. [`RoundKeeper`] and [`Auditor`] are the shells that feed them from stores, sources and a Bitcoin node;
//! [`RoundBook`] is the life cycle the keeper carries out, and [`RoundJumps`] doubts rounds that are too far ahead.

mod accepted;
mod audit;
mod audit_failure;
mod audit_job;
mod audit_shares;
mod auditor;
mod builder;
mod bundle;
mod bundle_error;
mod bundle_fetch;
mod bundle_root;
mod distribution;
mod facts;
mod jumps;
mod keeper;
mod maturity;
mod merkle_sum;
mod reward_root;
mod round;
mod rules;
mod sampling;
mod seen;
mod settlement;
mod shares_chunk;
mod tables;
mod unavailable;

pub use accepted::{AcceptedBundle, AcceptedRound, ChunkFault, Shares};
pub use audit::{
    AuditSummary, BlockShare, Expectation, RoundWindow, Submitted, audit, audit_parts, check_head,
};
pub use audit_failure::{AuditFailure, End};
pub use auditor::{AuditVerdict, Auditor, Submission};
pub use builder::{BundleBuilder, EncodedBundle, JobHandle};
pub use bundle::Bundle;
pub use bundle_error::{BundleError, Part};
pub use bundle_root::{
    BundleHead, BundleRoot, ChunkLink, FORMAT, MAX_BUNDLE_BLOCKS, MAX_BUNDLE_BYTES, MAX_ROOT_BYTES,
    MAX_SHARE_CHUNKS, MAX_SHARES, Moment, Totals,
};
pub use distribution::{DistributeError, PayoutTerms, PayoutWindow, distribute, payout_window};
pub use facts::{AllowedBits, ChainFacts, HeaderFact, HeightRange};
pub use jumps::{BothClocks, RoundJumps};
pub use keeper::{KeeperError, RoundKeeper, encode_round, seal};
pub use maturity::{
    COINBASE_MATURITY, ChainTip, DecidedRound, Depth, MissingHeight, Undecided, decided_at,
};
pub use merkle_sum::{Leaf, MerkleSumTree};
pub use reward_root::{
    EncodedRewardList, FetchRewardsError, MAX_REWARD_ROOT_BYTES, REWARDS_FORMAT, RewardRoot,
    RewardRootError, fetch_reward_list,
};
pub use round::{Phase, RoundAction, RoundBook, RoundEvent};
pub use rules::{MAX_PAYOUT_SCRIPTS, PoolRules, RulesDigest, RulesError, RulesParts};
pub use sampling::{MAX_SAMPLES, USUAL_SAMPLES, chunks_to_open, part_found, samples_for};
pub use seen::SeenInRound;
pub use settlement::{SETTLEMENT_FORMAT, Settlement, SettlementError, SettlementTerms};
pub use shares_chunk::{
    ChunkError, MAX_CHUNK_BYTES, PackedShare, SHARES_PER_CHUNK, decode_chunk, encode_chunk,
};
pub use tables::{
    BundleClaim, MAX_CLAIMS, MAX_JOBS, MAX_TABLE_BLOCKS, decode_claims_block, decode_jobs_block,
};
pub use unavailable::AuditUnavailable;
