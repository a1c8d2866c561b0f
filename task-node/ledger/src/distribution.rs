//! A round's two outputs: Koii's list for the operators and the reward tree for K2.

use std::collections::BTreeMap;

use bitcoin::Amount;
use k2_interface::reward_tree::{RewardTree, TreeError};
use k2_interface::{K2Address, RewardLeaf};
use pow::Work;
use serde::{Deserialize, Serialize};
use work::RoundNumber;

use crate::record::leaf_entries;
use crate::{
    CumulativeError, CumulativeList, Entry, FORMAT, Fee, OperatorReward, Record, RoundingError,
    Stake, Window, apportion,
};

/// The largest bounty: 2^53 - 1, since Koii's side reads the list as JSON numbers of JavaScript.
pub const MAX_BOUNTY: u64 = (1 << 53) - 1;

/// Why a distribution cannot be computed, read or follow another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// Beyond [`MAX_BOUNTY`].
    #[error("a bounty of {0} is more than a JavaScript number carries exactly (9007199254740991)")]
    BountyTooLarge(u64),
    /// The window holds shares of a later round.
    #[error("round {round} cannot be paid by shares of round {newest}")]
    WindowAfterRound {
        /// The round to distribute.
        round: RoundNumber,
        /// The newest round in the window.
        newest: RoundNumber,
    },
    /// The earlier distribution is of this round or a later one.
    #[error("round {round} does not come after round {previous}: each round is distributed once")]
    RoundOrder {
        /// The earlier distribution's round.
        previous: RoundNumber,
        /// The round that does not come after it.
        round: RoundNumber,
    },
    /// The earlier distribution is of another K2 program.
    #[error("program {found} does not continue program {expected}: its vault holds other money")]
    OtherProgram {
        /// The earlier distribution's program.
        expected: K2Address,
        /// The later one's.
        found: K2Address,
    },
    /// Entries that had a leaf would lose it, and with it the way to claim.
    #[error("the least amount for a leaf may only fall, not rise from {before} to {after}")]
    LeafMinimumRaised {
        /// The earlier distribution's.
        before: Amount,
        /// The later one's.
        after: Amount,
    },
    /// The list grew by another amount than was distributed.
    #[error("earnings grew by {growth}, but {distributed} was distributed")]
    WrongGrowth {
        /// By how much the list grew.
        growth: Amount,
        /// The pot less what was not distributed.
        distributed: Amount,
    },
    /// A field of a record contradicts the others.
    #[error("the distribution's field `{0}` contradicts the others")]
    Inconsistent(&'static str),
    /// Not the canonical encoding of a distribution.
    #[error("not a canonically encoded distribution: {0}")]
    Encoding(String),
    /// The earnings are no list, or shrink.
    #[error(transparent)]
    Cumulative(#[from] CumulativeError),
    /// The weights cannot be used.
    #[error(transparent)]
    Rounding(#[from] RoundingError),
    /// More leaves than a tree can have.
    #[error("{0}")]
    Tree(TreeError),
}

/// All that a distribution depends on.
#[derive(Debug, Clone, Copy)]
pub struct DistributionInput<'a> {
    /// The K2 program that will pay it.
    pub program: K2Address,
    /// The round to distribute.
    pub round: RoundNumber,
    /// The shares that count.
    pub window: &'a Window,
    /// The operators' part of each share of the pot.
    pub fee: Fee,
    /// What Koii pays the operators for this round, in base units of the task's token.
    pub bounty: u64,
    /// What there is to divide among miners and operators.
    pub pot: Amount,
    /// From how much on an entry has a leaf. A tree has room for 2^20 leaves and none is ever given up, so at 1 sat
    /// somebody with 2^20 addresses could fill it for a hundredth of a bitcoin and lock every later miner out; at
    /// 1,000 sats that takes ten bitcoin of honest work. Entries below it keep adding up until they get their leaf.
    pub leaf_minimum: Amount,
    /// The distribution this one continues: the last one that holds on K2.
    pub previous: Option<&'a Distribution>,
}

/// A checked distribution: all its fields agree, its root is that of its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Record")]
pub struct Distribution(Record);

impl Distribution {
    /// Computes the distribution of a round.
    ///
    /// # Errors
    /// [`DistributionError`]; nothing is distributed then.
    pub fn compute(input: &DistributionInput<'_>) -> Result<Self, DistributionError> {
        if input.bounty > MAX_BOUNTY {
            return Err(DistributionError::BountyTooLarge(input.bounty));
        }
        if let Some(newest) = input.window.newest_round()
            && newest > input.round
        {
            return Err(DistributionError::WindowAfterRound {
                round: input.round,
                newest,
            });
        }

        let operators = apportion(input.bounty, &input.window.node_weights())?
            .parts
            .into_iter()
            .map(|(node, units)| {
                let amount = i64::try_from(units)
                    .map_err(|_| DistributionError::BountyTooLarge(input.bounty))?;
                Ok(OperatorReward { node, amount })
            })
            .collect::<Result<_, DistributionError>>()?;
        let divided = apportion(input.pot.to_sat(), &input.window.stake_weights(input.fee))?;
        let nobody = CumulativeList::default();
        let miners = input
            .previous
            .map_or(&nobody, |previous| &previous.0.miners)
            .plus(&divided.parts)?;
        let (leaf_count, root) = match build_tree(
            input.program,
            input.round,
            leaf_entries(&miners, input.leaf_minimum),
        )? {
            Some(tree) => (tree.leaf_count(), Some(tree.root())),
            None => (0, None),
        };
        let distribution = Self(Record {
            format: FORMAT.to_owned(),
            program: input.program,
            round: input.round,
            window: input.window.size(),
            reached: input.window.reached(),
            fee: input.fee,
            bounty: input.bounty,
            pot: input.pot,
            undistributed: Amount::from_sat(divided.undistributed),
            operators,
            miners,
            leaf_minimum: input.leaf_minimum,
            leaf_count,
            root,
        });
        distribution.check_continues(input.previous)?;
        Ok(distribution)
    }

    /// The fields.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// Checks that this one continues `previous`: the same program, a later round, nobody's earnings shrunk, no leaf
    /// lost, and all of them together grown by exactly what was distributed.
    ///
    /// # Errors
    /// [`DistributionError`] names the first of these that does not hold.
    pub fn check_continues(&self, previous: Option<&Self>) -> Result<(), DistributionError> {
        let record = &self.0;
        let distributed = record
            .pot
            .checked_sub(record.undistributed)
            .ok_or(DistributionError::Inconsistent("undistributed"))?;
        let growth = match previous {
            None => record.miners.total(),
            Some(Self(previous)) => {
                if previous.program != record.program {
                    return Err(DistributionError::OtherProgram {
                        expected: previous.program,
                        found: record.program,
                    });
                }
                if record.round <= previous.round {
                    return Err(DistributionError::RoundOrder {
                        previous: previous.round,
                        round: record.round,
                    });
                }
                if record.leaf_minimum > previous.leaf_minimum {
                    return Err(DistributionError::LeafMinimumRaised {
                        before: previous.leaf_minimum,
                        after: record.leaf_minimum,
                    });
                }
                record.miners.growth_since(&previous.miners)?
            }
        };
        if growth == distributed {
            Ok(())
        } else {
            Err(DistributionError::WrongGrowth {
                growth,
                distributed,
            })
        }
    }

    /// Koii's distribution list: staking key in base58 to base units.
    #[must_use]
    pub fn koii_list(&self) -> BTreeMap<String, i64> {
        self.0
            .operators
            .iter()
            .map(|reward| (reward.node.to_string(), reward.amount))
            .collect()
    }

    /// The reward tree, for its proofs; none without leaves.
    ///
    /// # Errors
    /// [`DistributionError::Tree`]; a checked distribution has a tree.
    pub fn tree(&self) -> Result<Option<RewardTree>, DistributionError> {
        build_tree(self.0.program, self.0.round, self.0.leaf_entries())
    }

    /// The leaves of the reward tree, in order.
    pub fn leaves(&self) -> impl Iterator<Item = RewardLeaf> {
        (0..)
            .zip(self.0.leaf_entries())
            .map(|(index, entry)| RewardLeaf {
                program: self.0.program,
                round: self.0.round.get(),
                index,
                role: entry.role,
                owner: entry.owner,
                cumulative: entry.sats.to_sat(),
            })
    }

    /// The leaf of `stake`, if it has earned enough for one.
    #[must_use]
    pub fn leaf(&self, stake: Stake) -> Option<RewardLeaf> {
        self.leaves()
            .find(|leaf| Stake::new(leaf.role, leaf.owner) == stake)
    }

    /// The canonical DAG-CBOR encoding: the same bytes on every machine.
    ///
    /// # Errors
    /// [`DistributionError::Encoding`]; no distribution is known to cause it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DistributionError> {
        serde_ipld_dagcbor::to_vec(&self.0)
            .map_err(|error| DistributionError::Encoding(error.to_string()))
    }

    /// Reads what [`Self::to_bytes`] wrote, and checks it: the tree is built anew. Whether it continues an earlier one
    /// is asked of [`Self::check_continues`].
    ///
    /// # Errors
    /// [`DistributionError`] if it is not that, byte for byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DistributionError> {
        let record: Record = serde_ipld_dagcbor::from_slice(bytes)
            .map_err(|error| DistributionError::Encoding(error.to_string()))?;
        let distribution = Self::try_from(record)?;
        if distribution.to_bytes()? == bytes {
            Ok(distribution)
        } else {
            Err(DistributionError::Encoding(
                "the same fields encode to other bytes".to_owned(),
            ))
        }
    }
}

impl TryFrom<Record> for Distribution {
    type Error = DistributionError;

    fn try_from(record: Record) -> Result<Self, Self::Error> {
        let check = |holds, field| {
            if holds {
                Ok(())
            } else {
                Err(DistributionError::Inconsistent(field))
            }
        };
        check(record.format == FORMAT, "format")?;
        check(record.window > Work::ZERO, "window")?;
        check(record.reached <= record.window, "reached")?;
        if record.bounty > MAX_BOUNTY {
            return Err(DistributionError::BountyTooLarge(record.bounty));
        }
        let nobody = record.reached == Work::ZERO;
        let undistributed = if nobody { record.pot } else { Amount::ZERO };
        check(record.undistributed == undistributed, "undistributed")?;
        let sorted = record
            .operators
            .is_sorted_by(|one, next| one.node < next.node);
        let positive = record.operators.iter().all(|reward| reward.amount > 0);
        let sum: i128 = record.operators.iter().map(|r| i128::from(r.amount)).sum();
        let due = if nobody { 0 } else { record.bounty };
        check(sorted && positive && sum == i128::from(due), "operators")?;
        // Earlier rounds' earnings are in the list too, so here it can only be too small.
        check(
            record.miners.total() >= record.pot - undistributed,
            "miners",
        )?;
        let distribution = Self(record);
        let tree = distribution.tree()?;
        let record = &distribution.0;
        let leaf_count = tree.as_ref().map_or(0, RewardTree::leaf_count);
        check(record.leaf_count == leaf_count, "leaf_count")?;
        check(record.root == tree.map(|tree| tree.root()), "root")?;
        Ok(distribution)
    }
}

fn build_tree<'a>(
    program: K2Address,
    round: RoundNumber,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Option<RewardTree>, DistributionError> {
    let entries = entries.map(|entry| (entry.role, entry.owner, entry.sats.to_sat()));
    RewardTree::build(program, round.get(), entries).map_err(DistributionError::Tree)
}
