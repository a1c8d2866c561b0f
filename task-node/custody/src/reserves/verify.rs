//! Checks a finished proof against what the verifier's own node and endpoint say.

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::KeychainKind;
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{
    Amount, BlockHash, OutPoint, PublicKey, Script, ScriptBuf, Transaction, Witness, consensus,
    ecdsa,
};
use miniscript::miniscript::decode::Terminal;
use miniscript::{Miniscript, Segwitv0};

use super::facts::{ChainFacts, Found, K2Facts};
use super::report::{Backing, Report, ScriptTotal, SpentSince};
use super::transaction::{Claim, ClaimError};
use crate::setup::Setup;
use crate::view::{COINBASE_MATURITY, confirmations};

/// How many scripts of a descriptor's keychain are tried: each payout uses one of change.
const MAX_INDEX: u32 = 10_000;

/// Why a proof is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The verifier's node has not seen the block yet.
    #[error(
        "the Bitcoin node is at height {tip} and the proof at {height}: wait until it has caught up"
    )]
    NodeBehind {
        /// The node's.
        tip: u32,
        /// The proof's.
        height: u32,
    },
    /// The verifier's endpoint has not seen the slot yet.
    #[error(
        "the K2 endpoint is at slot {own} and the proof at {slot}: wait until it has caught up"
    )]
    EndpointBehind {
        /// The endpoint's.
        own: u64,
        /// The proof's.
        slot: u64,
    },
    /// It is about something else.
    #[error("the proof is about another {what}: {stated}, and here it is {own}")]
    Elsewhere {
        /// Network, cluster, program or token.
        what: &'static str,
        /// The proof's.
        stated: String,
        /// The verifier's.
        own: String,
    },
    /// The block is not in the best chain.
    #[error("block {0} is not in the best chain: the proof is of a chain that was given up")]
    Block(BlockHash),
    /// Totals that cannot have been.
    #[error(
        "the totals the proof states cannot have been: K2's never fall, and are lower now, or differ at the same slot"
    )]
    Totals,
    /// A redemption that is not paid as stated.
    #[error(
        "redemption {0} is not paid by the transaction the proof names, or its account is closed so that nobody can tell"
    )]
    Paid(u64),
    /// A coin that is not there.
    #[error("coin {outpoint} {what}")]
    Coin {
        /// Which.
        outpoint: OutPoint,
        /// What is wrong.
        what: &'static str,
    },
    /// A coin nobody has signed for.
    #[error("the signatures for coin {outpoint} are not valid: {reason}")]
    Signature {
        /// Which.
        outpoint: OutPoint,
        /// Why.
        reason: String,
    },
    /// A coin of somebody else.
    #[error("coin {0} is not of the given descriptor")]
    Foreign(OutPoint),
    /// More bitcoin than there can be.
    #[error("the amounts add up to more bitcoin than there can be")]
    Sum,
}

impl VerifyError {
    /// Whether the proof is wrong, rather than that it could not be judged.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::NodeBehind { .. } | Self::EndpointBehind { .. })
    }
}

/// A finished proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    claim: Claim,
    transaction: Transaction,
}

impl Proof {
    /// A proof whose transaction is that of its claim; the signatures are for [`verify`].
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn new(claim: Claim, transaction: Transaction) -> Result<Self, ClaimError> {
        claim.check(&transaction)?;
        let challenge = transaction.input.first();
        if challenge.is_none_or(|input| !input.witness.is_empty()) {
            return Err(ClaimError::Transaction(
                "its first input, which nobody signs, has a witness",
            ));
        }
        Ok(Self { claim, transaction })
    }

    /// What it claims.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The transaction that no node takes.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }
}

/// Checks everything. With a `setup` all coins must be its own.
///
/// # Errors
/// [`VerifyError`]. A proof that is in order and shows too little is none: see [`Report`].
pub fn verify(
    proof: &Proof,
    chain: &ChainFacts,
    k2: &K2Facts,
    setup: Option<&Setup>,
) -> Result<Report, VerifyError> {
    let statement = proof.claim.statement();
    about(proof, k2, setup)?;
    if k2.slot < statement.slot {
        return Err(VerifyError::EndpointBehind {
            own: k2.slot,
            slot: statement.slot,
        });
    }
    if chain.tip < statement.height {
        return Err(VerifyError::NodeBehind {
            tip: chain.tip,
            height: statement.height,
        });
    }
    if chain.block != Some(statement.block) {
        return Err(VerifyError::Block(statement.block));
    }
    let same = (k2.proved_in, k2.burned) == (statement.proved_in, statement.burned);
    let grown = k2.proved_in >= statement.proved_in && k2.burned >= statement.burned;
    if !grown || (k2.slot == statement.slot && !same) {
        return Err(VerifyError::Totals);
    }
    let (in_flight, still_in_flight) = k2
        .in_flight(&statement.paid, &chain.payments)
        .map_err(VerifyError::Paid)?;
    let coins = coins(proof, chain)?;
    signatures(proof, &coins)?;
    if let Some(setup) = setup {
        own(setup, &coins)?;
    }

    let mut now = Backing {
        supply: k2.supply().ok_or(VerifyError::Totals)?,
        in_flight: still_in_flight,
        reserves: Amount::ZERO,
        immature: Amount::ZERO,
    };
    let mut spent = Vec::new();
    for (outpoint, found) in &coins {
        let value = found.txout.value;
        if let Some(spending) = &found.spent {
            spent.push(SpentSince {
                outpoint: *outpoint,
                amount: value,
                by: spending.txid,
                height: spending.height,
                redemptions: spending.ids.clone(),
            });
            continue;
        }
        let mature =
            !found.is_coinbase || confirmations(chain.tip, found.height) >= COINBASE_MATURITY;
        let sum = if mature {
            &mut now.reserves
        } else {
            &mut now.immature
        };
        *sum = sum.checked_add(value).ok_or(VerifyError::Sum)?;
    }
    Ok(Report {
        then: Backing {
            supply: statement.supply().ok_or(VerifyError::Totals)?,
            in_flight,
            reserves: proof.claim.mature(),
            immature: proof.claim.immature(),
        },
        now,
        scripts: scripts(&coins, k2)?,
        spent,
        of_descriptor: setup.map(|_| true),
    })
}

/// Whether it is about the pool that is asked for.
fn about(proof: &Proof, k2: &K2Facts, setup: Option<&Setup>) -> Result<(), VerifyError> {
    let statement = proof.claim.statement();
    let same = |what, stated: String, own: String| {
        if stated == own {
            Ok(())
        } else {
            Err(VerifyError::Elsewhere { what, stated, own })
        }
    };
    same(
        "K2 cluster",
        statement.k2.to_string(),
        k2.genesis.to_string(),
    )?;
    same(
        "program",
        statement.program.to_string(),
        k2.program.to_string(),
    )?;
    same("token", statement.mint.to_string(), k2.mint.to_string())?;
    match setup {
        Some(setup) => same(
            "Bitcoin network",
            statement.bitcoin.to_string(),
            setup.network().to_string(),
        ),
        None => Ok(()),
    }
}

/// The proof's coins as the own node has them; all of them, each as claimed, none spent up to the proof's block.
fn coins<'a>(
    proof: &Proof,
    chain: &'a ChainFacts,
) -> Result<Vec<(OutPoint, &'a Found)>, VerifyError> {
    let height = proof.claim.statement().height;
    let mut coins = Vec::with_capacity(proof.claim.coins().len());
    for coin in proof.claim.coins() {
        let outpoint = coin.outpoint;
        let wrong = |what| VerifyError::Coin { outpoint, what };
        let found = chain
            .coins
            .get(&outpoint)
            .ok_or_else(|| wrong("is not in the best chain, or was spent before the proof"))?;
        if (found.txout.value, found.height, found.is_coinbase)
            != (coin.amount, coin.height, coin.is_coinbase)
        {
            return Err(wrong("is not what the proof says of it"));
        }
        if let Some(spent) = &found.spent
            && spent.height <= height
        {
            return Err(wrong("was spent before the proof"));
        }
        coins.push((outpoint, found));
    }
    Ok(coins)
}

/// Every coin is signed for, and every signature is for this transaction and no other.
fn signatures(proof: &Proof, coins: &[(OutPoint, &Found)]) -> Result<(), VerifyError> {
    let bytes = consensus::serialize(&proof.transaction);
    for (index, (outpoint, found)) in (1..).zip(coins) {
        let wrong = |reason: String| VerifyError::Signature {
            outpoint: *outpoint,
            reason,
        };
        let script = &found.txout.script_pubkey;
        let input = proof
            .transaction
            .input
            .get(index)
            .ok_or_else(|| wrong("there is no input".into()))?;
        all_of_it_signed(script, &input.witness).map_err(|reason| wrong(reason.into()))?;
        consensus::verify_script(script, index, found.txout.value, &bytes)
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

/// Whether a witness consists of SIGHASH_ALL signatures. That they are valid is the consensus code's to say, which would also
/// accept a script that asks for none, and a signature that leaves the challenge out.
fn all_of_it_signed(script: &Script, witness: &Witness) -> Result<(), &'static str> {
    let items: Vec<&[u8]> = witness.iter().collect();
    let signatures = if script.is_p2wpkh() {
        match items.as_slice() {
            [signature, _key] => vec![*signature],
            _ => return Err("the witness is not a signature and a key"),
        }
    } else if script.is_p2wsh() {
        let [empty, signatures @ .., witness_script] = items.as_slice() else {
            return Err("the witness is too short");
        };
        let multi = Miniscript::<PublicKey, Segwitv0>::parse(Script::from_bytes(witness_script))
            .map_err(|_| "the script is none of the pool's")?;
        let Terminal::Multi(keys) = multi.node else {
            return Err("the script is no multisig");
        };
        if !empty.is_empty() || signatures.len() != keys.k() {
            return Err("the witness has not as many signatures as the script asks for");
        }
        signatures.to_vec()
    } else {
        return Err("the script is neither P2WPKH nor P2WSH");
    };
    for signature in signatures {
        match ecdsa::Signature::from_slice(signature) {
            Ok(signature) if signature.sighash_type == EcdsaSighashType::All => {}
            _ => return Err("a signature is not SIGHASH_ALL"),
        }
    }
    Ok(())
}

/// Whether every coin is at a script of the descriptor.
fn own(setup: &Setup, coins: &[(OutPoint, &Found)]) -> Result<(), VerifyError> {
    let mut left: BTreeMap<&ScriptBuf, OutPoint> = coins
        .iter()
        .map(|(outpoint, found)| (&found.txout.script_pubkey, *outpoint))
        .collect();
    for index in 0..MAX_INDEX {
        if left.is_empty() {
            return Ok(());
        }
        for keychain in [KeychainKind::External, KeychainKind::Internal] {
            if let Ok(script) = setup.script(keychain, index) {
                left.remove(&script);
            }
        }
    }
    match left.into_values().next() {
        Some(outpoint) => Err(VerifyError::Foreign(outpoint)),
        None => Ok(()),
    }
}

fn scripts(coins: &[(OutPoint, &Found)], k2: &K2Facts) -> Result<Vec<ScriptTotal>, VerifyError> {
    let registered: BTreeSet<&ScriptBuf> = k2.scripts.iter().collect();
    let mut totals: BTreeMap<&ScriptBuf, ScriptTotal> = BTreeMap::new();
    for (_, found) in coins {
        let script = &found.txout.script_pubkey;
        let total = totals.entry(script).or_insert_with(|| ScriptTotal {
            script: script.clone(),
            registered: registered.contains(script),
            coins: 0,
            amount: Amount::ZERO,
        });
        total.coins += 1;
        total.amount = total
            .amount
            .checked_add(found.txout.value)
            .ok_or(VerifyError::Sum)?;
    }
    let mut totals: Vec<_> = totals.into_values().collect();
    totals.sort_by_key(|total| !total.registered);
    Ok(totals)
}
