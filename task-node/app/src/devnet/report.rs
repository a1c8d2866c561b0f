//! What the devnet tells at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// One round, as all nodes together played it.
#[derive(Debug, Clone, Serialize)]
pub struct RoundReport {
    /// Its number.
    pub round: u64,
    /// Shares of each node's bundle, in node order.
    pub shares: Vec<u64>,
    /// Blocks the round's shares found.
    pub blocks: u64,
    /// Audits that answered `true`.
    pub audits_true: usize,
    /// Audits made.
    pub audits: usize,
    /// Submissions voted valid.
    pub accepted: usize,
    /// Whether all nodes computed the same list, byte for byte.
    pub lists_identical: bool,
    /// The operators' list.
    pub distribution: BTreeMap<String, i64>,
    /// Whether the list's sum is the bounty.
    pub sum_exact: bool,
    /// What the round's blocks pay the miners, in satoshis.
    pub pot_sats: u64,
    /// The root of the miners' cumulative tree, in hex; absent while nobody has earned.
    pub reward_root: Option<String>,
}

/// What one address has earned.
#[derive(Debug, Clone, Serialize)]
pub struct Earned {
    /// Who it is in this devnet.
    pub name: String,
    /// The K2 address.
    pub address: String,
    /// Everything so far, in satoshis.
    pub sats: u64,
}

/// The whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The chain's name.
    pub chain: String,
    /// Its height at the end.
    pub height: u32,
    /// The nodes' names and keys, in order.
    pub nodes: Vec<(String, String)>,
    /// The rounds.
    pub rounds: Vec<RoundReport>,
    /// Blocks on the best chain that pay the pool's script.
    pub pool_blocks: u64,
    /// What everybody has earned so far.
    pub earned: Vec<Earned>,
    /// Whether everything that must hold held.
    pub ok: bool,
    /// What did not.
    pub problems: Vec<String>,
}

impl Report {
    /// The closing table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(line.trim_end());
            text.push('\n');
        };
        line(String::new());
        line(format!(
            "{:>6} {:>18} {:>7} {:>9} {:>9} {:>14} {:>15}  distribution",
            "round", "shares by node", "blocks", "audits", "accepted", "pot (sat)", "lists"
        ));
        for round in &self.rounds {
            let shares: Vec<String> = round.shares.iter().map(ToString::to_string).collect();
            let list: Vec<String> = self
                .nodes
                .iter()
                .filter_map(|(name, key)| {
                    round
                        .distribution
                        .get(key)
                        .map(|amount| format!("{name} {amount}"))
                })
                .collect();
            line(format!(
                "{:>6} {:>18} {:>7} {:>9} {:>9} {:>14} {:>15}  {}",
                round.round,
                shares.join(" + "),
                round.blocks,
                format!("{}/{} true", round.audits_true, round.audits),
                round.accepted,
                round.pot_sats,
                if !round.lists_identical {
                    "DIFFERENT"
                } else if round.sum_exact {
                    "identical, exact"
                } else {
                    "WRONG SUM"
                },
                if list.is_empty() {
                    "nobody".to_owned()
                } else {
                    list.join(", ")
                }
            ));
        }
        line(String::new());
        line(format!(
            "{} at height {}; blocks that pay the pool: {}",
            self.chain, self.height, self.pool_blocks
        ));
        if !self.earned.is_empty() {
            line("earned so far, in satoshis:".to_owned());
            for earned in &self.earned {
                line(format!(
                    "  {:<22} {:<44} {:>16}",
                    earned.name, earned.address, earned.sats
                ));
            }
        }
        if self.ok {
            line("all audits agree, all lists are identical and sum exactly".to_owned());
        } else {
            for problem in &self.problems {
                line(format!("PROBLEM: {problem}"));
            }
        }
        text
    }
}

/// One line for a finished round.
#[must_use]
pub fn progress(round: &RoundReport) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "round {}: shares {}, blocks {}, audits {}/{} true, submissions accepted {}, lists {}",
        round.round,
        round.shares.iter().sum::<u64>(),
        round.blocks,
        round.audits_true,
        round.audits,
        round.accepted,
        if round.lists_identical && round.sum_exact {
            "identical and exact"
        } else {
            "WRONG"
        }
    );
    text
}
