//! `orcapool payout ...`

use std::path::PathBuf;

use bitcoin::FeeRate;
use clap::{ArgGroup, Args, Subcommand};

use super::UnlockArgs;

/// `orcapool payout ...`
#[derive(Debug, Subcommand)]
pub enum PayoutCommand {
    /// Pays what is due, again and again, until it is told to stop.
    #[command(after_help = "Examples:\n  \
        orcapool payout run -c pool.toml                                   writes PSBTs for the custodians, sends what they signed\n  \
        orcapool payout run -c pool.toml --keypair payer.json              and settles on K2\n  \
        orcapool payout run -c pool.toml --key pool.key --passphrase-file pass.txt    single-sig: signs itself\n\n\
        In the wallet's folder, outbox/ holds what is to be signed, one file a transaction, and inbox/ takes what custodians\n\
        signed. The wallet is free for other commands between two turns. It may be killed at any moment.")]
    Run {
        /// Of every turn.
        #[command(flatten)]
        turn: TurnArgs,
        /// Seconds between two turns.
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
        every: u64,
    },

    /// One turn of `run`: for cron, and to look.
    #[command(after_help = "Examples:\n  \
        orcapool payout once -c pool.toml --json\n\n\
        Exit status: 0 done, 1 people have to look at something (an alarm), 2 it could not be done.")]
    Once {
        /// Of the turn.
        #[command(flatten)]
        turn: TurnArgs,
    },

    /// Watches over what this custodian signed: a payment that is in no block when its redemptions are about to expire is
    /// taken back.
    ///
    /// Whoever gave the last signature of a payment may hold it back, take the tokens back when they expire, and send it then.
    /// So every custodian runs this beside his own node; it needs no key. A cancellation it plans lies in outbox/, to be signed
    /// by `orcapool sign`, by another custodian with --unknown-cancel, and taken in by `orcapool payout submit`.
    #[command(after_help = "Examples:\n  \
        orcapool payout guard -c alice.toml                every ten minutes, until it is told to stop\n  \
        orcapool payout guard -c alice.toml --once         for cron\n\n\
        Exit status with --once: 0 all is well, 1 people have to look at something (an alarm), 2 it could not be done.")]
    Guard {
        /// One turn only.
        #[arg(long)]
        once: bool,
        /// Seconds between two turns.
        #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=3600))]
        every: u64,
        /// The fee rate in sat/vB where the node cannot say one.
        #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
        fee_rate: Option<FeeRate>,
    },

    /// Shows what would be paid now, who waits and why. Writes and sends nothing.
    #[command(after_help = "Examples:\n  \
        orcapool payout plan -c pool.toml --fee-rate 5")]
    Plan {
        /// The fee rate in sat/vB where the node cannot say one.
        #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
        fee_rate: Option<FeeRate>,
    },

    /// Takes in signed PSBTs: combines them, verifies every signature, writes the transaction down, sends it.
    #[command(after_help = "Examples:\n  \
        orcapool payout submit signed-by-alice.psbt signed-by-bob.psbt\n\n\
        Files of several transactions may be given together. Exit status: 0 complete and sent, 1 signatures are missing or\n\
        a file is refused, 2 it could not be done.")]
    Submit {
        /// Signed PSBTs.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },

    /// Lists batches and where they stand.
    #[command(after_help = "Examples:\n  \
        orcapool payout list\n  \
        orcapool payout list --batch 7        what happened to one")]
    List {
        /// Those that are long done, too.
        #[arg(long)]
        all: bool,
        /// One batch, with everything that happened to it.
        #[arg(long, value_name = "BATCH", conflicts_with = "all")]
        batch: Option<u32>,
    },

    /// Plans the same transaction at a higher fee, which custodians sign anew. Either may confirm, and only one can.
    #[command(after_help = "Examples:\n  \
        orcapool payout bump 7 --fee-rate 12")]
    Bump {
        /// The batch.
        batch: u32,
        /// The new fee rate in sat/vB.
        #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
        fee_rate: FeeRate,
    },

    /// Makes a batch impossible: one that is not signed is withdrawn, a signed one's coins are taken back by a transaction
    /// that custodians sign.
    #[command(after_help = "Examples:\n  \
        orcapool payout cancel 7\n\n\
        The redemptions of a payment that was sent are free again when the cancellation is 24 blocks deep.")]
    Cancel {
        /// The batch.
        batch: u32,
        /// The fee rate in sat/vB where the node cannot say one.
        #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
        fee_rate: Option<FeeRate>,
    },

    /// Plans to move all coins to a script that K2 registers: the step from one wallet to the next, or many coins into one.
    #[command(group = ArgGroup::new("where").required(true).args(["to_registered", "to"]))]
    #[command(after_help = "Examples:\n  \
        orcapool payout sweep --wallet old-wallet --to-registered\n\n\
        Custodians sign only for a script that their own K2 view registers: the active one, or an announced one past its\n\
        delay.")]
    Sweep {
        /// To the one script that K2 registers and that is not this wallet's own; or to its own, if there is no other.
        #[arg(long)]
        to_registered: bool,
        /// To the registered script of this address.
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
        /// The fee rate in sat/vB; the node's estimate by default.
        #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
        fee_rate: Option<FeeRate>,
    },
}

/// What a turn takes.
#[derive(Debug, Clone, Args)]
pub struct TurnArgs {
    /// The fee rate in sat/vB where the node cannot say one.
    #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
    pub fee_rate: Option<FeeRate>,
    /// The K2 keypair that pays for settling; `k2.keypair` in the configuration by default. Without one, `orcapool k2
    /// settle` or any operator's `k2 keep` settles.
    #[arg(long, value_name = "FILE")]
    pub keypair: Option<PathBuf>,
    /// The wallet's only key: sign what is planned, by the same review as `orcapool sign`. Single-sig wallets only.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// What opens it.
    #[command(flatten)]
    pub unlock: UnlockArgs,
}

/// Sats a virtual byte, with up to three decimals.
fn fee_rate(text: &str) -> Result<FeeRate, String> {
    let wrong = || "a fee rate is a number of sat/vB such as 5 or 1.5, at least 1".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 6 || part.len() > 3 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    // Sats per 1000 virtual bytes, which are 4000 weight units.
    let kvb: u64 = format!("{whole}{part:0<3}").parse().map_err(|_| wrong())?;
    if kvb < 1_000 {
        return Err(wrong());
    }
    Ok(FeeRate::from_sat_per_kwu(kvb.div_ceil(4)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_rate_is_a_decimal_of_sats_a_virtual_byte() {
        for (text, kwu) in [
            ("1", 250),
            ("5", 1_250),
            ("1.5", 375),
            ("1.001", 251),
            ("50", 12_500),
        ] {
            assert_eq!(fee_rate(text).unwrap().to_sat_per_kwu(), kwu, "{text}");
        }
        for wrong in [
            "", "0", "0.9", "-1", "1,5", "1e3", "1.0001", "+5", ".5", "9999999", "NaN",
        ] {
            assert!(fee_rate(wrong).is_err(), "{wrong}");
        }
    }
}
