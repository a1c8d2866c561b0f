//! Whether the books, the Bitcoin node and K2 agree: named checks with both figures.
//!
//! What is inside the pool's power must agree to the satoshi. Where strangers can move something - burn their own wrapped
//! sats, send some to the vault - only one direction is wrong, and the difference is explained.

use bitcoin::{Amount, SignedAmount};
use k2_interface::state::RedemptionState;
use ledger::books::{Account, Books, Step, Subject};
use serde::Serialize;

use super::facts::Facts;

/// How the two figures of a check must stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// To the satoshi.
    Equal,
    /// The books' is not above the other.
    AtMost,
    /// The books' is not below the other.
    AtLeast,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name: stable, one word.
    pub name: &'static str,
    /// What the books say.
    pub books: SignedAmount,
    /// How they have to stand to `told`.
    pub relation: Relation,
    /// What node or K2 say, or what must be.
    pub told: SignedAmount,
    /// What is compared with what.
    pub what: &'static str,
    /// What a difference means.
    pub otherwise: &'static str,
}

impl Check {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.relation {
            Relation::Equal => self.books == self.told,
            Relation::AtMost => self.books <= self.told,
            Relation::AtLeast => self.books >= self.told,
        }
    }

    /// The books' figure less the other.
    #[must_use]
    pub fn difference(&self) -> SignedAmount {
        let (books, told) = (self.books.to_sat(), self.told.to_sat());
        SignedAmount::from_sat(books.saturating_sub(told))
    }
}

/// All checks, in the order of a report. The facts must be those the books were last held against.
#[must_use]
pub fn check(books: &Books, facts: &Facts<'_>) -> Vec<Check> {
    let mut checks = of_bitcoin(books, facts);
    checks.extend(of_k2(books, facts));
    checks.extend(of_both(books, facts));
    checks
}

fn of_bitcoin(books: &Books, facts: &Facts<'_>) -> Vec<Check> {
    let tip = facts.bitcoin.tip;
    let confirmed = || {
        let coins = facts.bitcoin.coins.values();
        coins.filter(|coin| coin.height.is_some())
    };
    let coins = confirmed().map(|coin| coin.txout.value);
    let immature = confirmed()
        .filter(|coin| !coin.is_spendable(tip))
        .map(|coin| coin.txout.value);
    vec![
        Check {
            name: "coins",
            books: books.sum(Account::RESERVES),
            relation: Relation::Equal,
            told: sum(coins),
            what: "immature, mature, reserved and in flight are the coins the node has",
            otherwise: "coins came or went that the books do not know: sync the wallet again, then look at every transaction",
        },
        Check {
            name: "immature",
            books: books.balance(Account::Immature),
            relation: Relation::Equal,
            told: sum(immature),
            what: "immature are the coinbases less than 100 deep",
            otherwise: "a coinbase was matured too early or too late: sync the wallet again",
        },
        Check {
            name: "unexplained",
            books: books.balance(Account::Unexplained),
            relation: Relation::Equal,
            told: SignedAmount::ZERO,
            what: "every coin that left was owed, swept, or a fee",
            otherwise: "coins went where the pool owes nothing: `orcapool books entries --account unexplained` names the transactions",
        },
    ]
}

fn of_k2(books: &Books, facts: &Facts<'_>) -> Vec<Check> {
    let sums = facts.sums;
    let minted = [Account::SUPPLY, &[Account::Burned]].concat();
    let claimed = [Account::Circulating, Account::Escrow, Account::Burned];
    let redemptions = facts.k2.redemptions.values();
    let open = redemptions
        .filter(|redemption| redemption.state == RedemptionState::Open)
        .map(|redemption| redemption.amount);
    let lagging = "K2 was read while it changed: run it again. If it stays, this is another program, or a bug";
    vec![
        Check {
            name: "minted",
            books: books.sum(&minted),
            relation: Relation::Equal,
            told: signed(sums.proved_in),
            what: "vault, owed, circulating, escrow and burned are all that was proved in",
            otherwise: lagging,
        },
        Check {
            name: "burned",
            books: books.balance(Account::Burned),
            relation: Relation::Equal,
            told: signed(sums.burned),
            what: "burned is what K2 says it burned",
            otherwise: lagging,
        },
        Check {
            name: "claimed",
            books: books.sum(&claimed),
            relation: Relation::Equal,
            told: signed(sums.claimed),
            what: "circulating, escrow and burned are all that was claimed",
            otherwise: lagging,
        },
        Check {
            name: "escrow",
            books: books.balance(Account::Escrow),
            relation: Relation::Equal,
            told: signed(sums.escrowed),
            what: "escrow is what K2 says it holds for redemptions",
            otherwise: lagging,
        },
        Check {
            name: "redemptions",
            books: books.balance(Account::Escrow),
            relation: Relation::Equal,
            told: sum(open),
            what: "escrow is the sum of the open redemptions",
            otherwise: lagging,
        },
        Check {
            name: "supply",
            books: books.sum(Account::SUPPLY),
            relation: Relation::AtLeast,
            told: signed(sums.supply),
            what: "the token's supply is not above what was minted and not burned; less: holders burned their own",
            otherwise: "there are wrapped sats that no coinbase backs: pause minting at once (`orcapool k2 admin pause`)",
        },
        Check {
            name: "vault",
            books: books.sum(&[Account::Vault, Account::Owed]),
            relation: Relation::AtMost,
            told: signed(sums.vault),
            what: "the vault holds at least what was minted and not claimed; more: somebody sent it",
            otherwise: "wrapped sats that miners are owed are not in the vault: pause claims at once",
        },
        Check {
            name: "escrowed",
            books: books.balance(Account::Escrow),
            relation: Relation::AtMost,
            told: signed(sums.escrow),
            what: "the escrow holds at least the open redemptions; more: somebody sent it",
            otherwise: "wrapped sats of open redemptions are not in the escrow: pay none until it is known why",
        },
    ]
}

fn of_both(books: &Books, facts: &Facts<'_>) -> Vec<Check> {
    let below = Account::ALL
        .iter()
        .filter(|account| **account != Account::Unexplained)
        .map(|account| books.balance(*account).to_sat().min(0));
    let paid = Paid::of(books, facts);
    // What was paid and not burned yet is still in the supply, and what other wallets hold stands for what they brought.
    let have = books
        .sum(Account::RESERVES)
        .to_sat()
        .saturating_add(signed(paid.open).to_sat())
        .saturating_add(books.sum(&[Account::MovedOut, Account::Elsewhere]).to_sat());
    vec![
        Check {
            name: "overdrawn",
            books: SignedAmount::from_sat(below.fold(0, i64::saturating_add)),
            relation: Relation::Equal,
            told: SignedAmount::ZERO,
            what: "no account is below zero",
            otherwise: "a payout spends a coin that a re-organisation took: wait for the next block",
        },
        Check {
            name: "refunded",
            books: signed(paid.refunded),
            relation: Relation::Equal,
            told: SignedAmount::ZERO,
            what: "nothing was refunded on K2 that was paid on Bitcoin",
            otherwise: "a payout came too late: somebody has both. Top the wallet up by as much, and raise `custody.margin`",
        },
        Check {
            name: "backing",
            books: SignedAmount::from_sat(have),
            relation: Relation::AtLeast,
            told: books.sum(Account::SUPPLY),
            what: "the coins, with what is paid and not burned yet and what other wallets hold, cover the supply",
            otherwise: "fees of sweeps and cancels, or a loss, are not made up for: top the wallet up by as much",
        },
    ]
}

/// Payments that are in blocks, by what K2 says of their redemptions.
struct Paid {
    open: Amount,
    refunded: Amount,
}

impl Paid {
    fn of(books: &Books, facts: &Facts<'_>) -> Self {
        let mut paid = Self {
            open: Amount::ZERO,
            refunded: Amount::ZERO,
        };
        for subject in books.subjects() {
            let Subject::Payout { id } = subject else {
                continue;
            };
            let steps: Vec<Step> = books.standing(&subject).collect();
            let [Step::Intended { amount }, _, Step::InBlock { .. }, ..] = steps.as_slice() else {
                continue;
            };
            let sum = match facts.k2.redemptions.get(&id).map(|known| known.state) {
                Some(RedemptionState::Open) => &mut paid.open,
                Some(RedemptionState::Refunded) => &mut paid.refunded,
                _ => continue,
            };
            *sum = sum.checked_add(*amount).unwrap_or(Amount::MAX);
        }
        paid
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> SignedAmount {
    let sats = amounts.map(|amount| signed(amount).to_sat());
    SignedAmount::from_sat(sats.fold(0, i64::saturating_add))
}

/// Every sum of bitcoin fits; one that does not is wrong whatever it is compared with.
fn signed(amount: Amount) -> SignedAmount {
    amount.to_signed().unwrap_or(SignedAmount::MAX)
}
