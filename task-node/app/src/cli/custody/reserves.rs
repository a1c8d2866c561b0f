//! `orcapool reserves ...`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use work::K2Address;

use super::UnlockArgs;

/// `orcapool reserves ...`
#[derive(Debug, Subcommand)]
pub enum ReservesCommand {
    /// Begins a proof: all confirmed coins of the wallet, against the supply on K2 now.
    #[command(after_help = "Example:\n  \
        orcapool reserves prove -c orcapool.toml --out reserves.draft\n\n\
        Every custodian then signs that file (`reserves sign`), and anyone joins what they wrote (`reserves finish`).\n\
        What is signed can never be a payment.")]
    Prove {
        /// The draft to write; a file that exists is not touched.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },

    /// Signs a draft, if the own node and the own K2 endpoint say the same.
    #[command(after_help = "Example:\n  \
        orcapool reserves sign -c orcapool.toml reserves.draft --key custodian-1.key --out reserves.alice\n\n\
        Exit status: 0 signed, 1 refused (it says by which rule), 2 it could not be done.")]
    Sign(SignReservesArgs),

    /// Joins what the custodians signed to a proof.
    #[command(after_help = "Example:\n  \
        orcapool reserves finish reserves.alice reserves.carol --out reserves.json")]
    Finish {
        /// What the custodians wrote.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The proof to write; a file that exists is not touched.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },

    /// Checks a proof. Needs a Bitcoin node or an Esplora server, and a K2 endpoint; no wallet, nothing of the pool's.
    #[command(after_help = "Examples:\n  \
        orcapool reserves verify reserves.json -c orcapool.toml\n  \
        orcapool reserves verify reserves.json --esplora https://server/api --rpc https://mainnet.koii.network \\\n    \
        --program <ADDRESS> --json\n  \
        orcapool reserves verify reserves.json -c orcapool.toml --descriptor 'wsh(sortedmulti(2,...))#checksum'\n\n\
        Judged by what is so now: today's supply, and the proof's coins that nobody has spent since. Exit status: 0 backed,\n\
        1 not backed or not a valid proof (it says what is missing), 2 it could not be checked.")]
    Verify(VerifyReservesArgs),
}

/// `orcapool reserves sign`
#[derive(Debug, Args)]
pub struct SignReservesArgs {
    /// The draft.
    pub file: PathBuf,
    /// The custodian's key file.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// What opens the key file.
    #[command(flatten)]
    pub unlock: UnlockArgs,
    /// The signed draft to write; a file that exists is not touched.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Do not ask before signing.
    #[arg(long)]
    pub yes: bool,
}

/// `orcapool reserves verify`
#[derive(Debug, Args)]
pub struct VerifyReservesArgs {
    /// The proof.
    pub file: PathBuf,
    /// Ask this Esplora server instead of the configured Bitcoin nodes; it is believed.
    #[arg(long, value_name = "URL")]
    pub esplora: Option<String>,
    /// K2 JSON-RPC endpoint (`k2.rpc`; may be repeated).
    #[arg(long, value_name = "URL")]
    pub rpc: Vec<String>,
    /// The pool's program (`k2.program`).
    #[arg(long, value_name = "ADDRESS")]
    pub program: Option<K2Address>,
    /// The pool's descriptor: refuses a coin that is not at one of its scripts.
    #[arg(long, value_name = "DESCRIPTOR")]
    pub descriptor: Option<String>,
    /// Judge by the proof's own block and slot instead: for a proof whose coins have been moved since. The supply of that
    /// slot is then the custodians' word.
    #[arg(long)]
    pub then: bool,
}
