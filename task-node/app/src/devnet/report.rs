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
    /// What was done on K2; absent without it.
    pub payment: Option<Payment>,
}

/// What was done on K2 after a round.
#[derive(Debug, Clone, Serialize)]
pub struct Payment {
    /// Headers relayed.
    pub headers: usize,
    /// Coinbases minted.
    pub minted: usize,
    /// Whether all nodes settled the round alike.
    pub identical: bool,
    /// What the settled list adds up to, in satoshis: everything earned so far.
    pub total_sats: u64,
    /// The settled list.
    pub list: Option<String>,
    /// Claims that paid something.
    pub claims: usize,
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
    /// What of it was redeemed for BTC.
    pub redeemed_sats: u64,
    /// Wrapped satoshis in its token account; absent without K2.
    pub wrapped_sats: Option<u64>,
}

/// A redemption that custody paid in BTC.
#[derive(Debug, Clone, Serialize)]
pub struct RedemptionReport {
    /// Its id on K2.
    pub id: u64,
    /// Whose.
    pub who: String,
    /// Burned, in satoshis.
    pub amount_sats: u64,
    /// The Bitcoin address.
    pub to: String,
    /// The transaction on Bitcoin.
    pub txid: String,
    /// Its fee, in satoshis, which the redeemer bears.
    pub fee_sats: u64,
    /// What K2 was shown that it pays; absent: it is not settled.
    pub settled_sats: Option<u64>,
    /// What custody holds afterwards, in satoshis.
    pub reserves_sats: u64,
}

impl RedemptionReport {
    /// What must hold and does not.
    fn problems(&self, k2: &K2Report) -> Vec<String> {
        let mut problems = Vec::new();
        if self
            .settled_sats
            .and_then(|paid| paid.checked_add(self.fee_sats))
            != Some(self.amount_sats)
        {
            problems.push(format!(
                "custody: redemption {} of {} sat is settled with {:?} and a fee of {}",
                self.id, self.amount_sats, self.settled_sats, self.fee_sats
            ));
        }
        if self.reserves_sats < k2.supply {
            problems.push(format!(
                "custody: {} sat are held for a supply of {}",
                self.reserves_sats, k2.supply
            ));
        }
        problems
    }
}

/// The books of the program at the end, in satoshis.
#[derive(Debug, Clone, Serialize)]
pub struct K2Report {
    /// Where K2 listens.
    pub rpc: String,
    /// The program.
    pub program: String,
    /// The wrapped token.
    pub mint: String,
    /// The token's supply.
    pub supply: u64,
    /// Proved and minted.
    pub proved: u64,
    /// Burned.
    pub burned: u64,
    /// In the vault: minted and not claimed.
    pub vault: u64,
    /// The round in force.
    pub finalized_round: Option<u64>,
    /// What its list adds up to.
    pub finalized_total: u64,
    /// The last round played.
    pub last_round: u64,
    /// What custody paid at the end; absent where nobody had earned enough.
    pub redemption: Option<RedemptionReport>,
}

impl K2Report {
    /// What must hold and does not.
    #[must_use]
    pub fn problems(&self, earned: &[Earned]) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(redemption) = &self.redemption {
            problems.extend(redemption.problems(self));
        }
        if self.proved.checked_sub(self.burned) != Some(self.supply) {
            problems.push(format!(
                "K2: the supply of {} is not {} proved - {} burned",
                self.supply, self.proved, self.burned
            ));
        }
        let paid: u64 = earned.iter().filter_map(|earned| earned.wrapped_sats).sum();
        if paid.checked_add(self.vault) != Some(self.supply) {
            problems.push(format!(
                "K2: {paid} sat at their owners and {} in the vault are not the supply of {}",
                self.vault, self.supply
            ));
        }
        if self.finalized_round != Some(self.last_round) {
            problems.push(format!(
                "K2: round {:?} is in force, not {}",
                self.finalized_round, self.last_round
            ));
        }
        let redeemed: u64 = earned.iter().map(|earned| earned.redeemed_sats).sum();
        if paid.checked_add(redeemed) != Some(self.finalized_total) {
            problems.push(format!(
                "K2: {paid} sat are held and {redeemed} were redeemed of a finalized total of {}",
                self.finalized_total
            ));
        }
        if redeemed != self.burned {
            problems.push(format!(
                "K2: {redeemed} sat were redeemed and {} burned",
                self.burned
            ));
        }
        for earned in earned {
            let held = earned.wrapped_sats.unwrap_or(0);
            if held.checked_add(earned.redeemed_sats) != Some(earned.sats) {
                problems.push(format!(
                    "K2: {} earned {} sat, redeemed {} and holds {held} wrapped",
                    earned.name, earned.sats, earned.redeemed_sats
                ));
            }
        }
        problems
    }
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
    /// K2's books; absent without it.
    pub k2: Option<K2Report>,
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
            let wrapped = if self.k2.is_some() {
                "wrapped BTC on K2"
            } else {
                ""
            };
            line(format!(
                "{:<24} {:<44} {:>16} {wrapped:>18}",
                "who", "K2 address", "earned (sat)"
            ));
            for earned in &self.earned {
                let wrapped = earned
                    .wrapped_sats
                    .map_or_else(String::new, |sats| sats.to_string());
                line(format!(
                    "{:<24} {:<44} {:>16} {wrapped:>18}",
                    earned.name, earned.address, earned.sats
                ));
            }
        }
        if let Some(k2) = &self.k2 {
            line(format!(
                "K2: supply {} = {} proved - {} burned; vault {}",
                k2.supply, k2.proved, k2.burned, k2.vault
            ));
            if let Some(paid) = &k2.redemption {
                line(format!(
                    "custody: redemption {} of {}: {} sat burned = {} paid + {} fee, to {}",
                    paid.id,
                    paid.who,
                    paid.amount_sats,
                    paid.settled_sats.unwrap_or(0),
                    paid.fee_sats,
                    paid.to
                ));
                line(format!(
                    "custody: {} sat held for a supply of {}; paid by {}",
                    paid.reserves_sats, k2.supply, paid.txid
                ));
            }
        }
        if self.ok {
            let paid = if self.k2.is_some() {
                "; everybody holds what it earned, or was paid in BTC"
            } else {
                ""
            };
            line(format!(
                "all audits agree, all lists are identical and sum exactly{paid}"
            ));
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
    if let Some(payment) = &round.payment {
        let _ = write!(
            text,
            "; on K2 {} headers, {} coinbases minted, {} claims, {} sat paid so far",
            payment.headers, payment.minted, payment.claims, payment.total_sats
        );
    }
    text
}
