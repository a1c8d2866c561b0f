//! The command line.

mod custody;
mod k2;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use work::RoundNumber;

pub use custody::*;
pub use k2::*;

use crate::requests::SampleSeed;

/// A Bitcoin mining pool that Koii node operators run as an Orca task.
#[derive(Debug, Parser)]
#[command(
    name = "orcapool",
    version,
    max_term_width = 110,
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the configuration comes from: defaults, this file, ORCAPOOL_* variables, then the flags.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// TOML file with the configuration.
    #[arg(
        long,
        short,
        global = true,
        env = "ORCAPOOL_CONFIG",
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,

    /// Sets one key, e.g. `--set http.listen=127.0.0.1:8081` (may be repeated; beats file and environment).
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub assignments: Vec<String>,

    /// Where everything that must last is kept (`data_dir`).
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl ConfigArgs {
    /// All flags as `key=value` assignments, the specific ones last.
    #[must_use]
    pub fn assignments(&self) -> Vec<String> {
        let mut all = self.assignments.clone();
        if let Some(dir) = &self.data_dir {
            // A JSON string is also a figment string, whatever characters the path has.
            all.push(format!(
                "data_dir={}",
                serde_json::Value::from(dir.to_string_lossy())
            ));
        }
        all
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a pool node: HTTP for Orca, Stratum for miners.
    #[command(after_help = "Examples:\n  \
        orcapool run --config orcapool.toml\n  \
        ORCAPOOL_HTTP__LISTEN=127.0.0.1:8081 orcapool run -c orcapool.toml --set miner.threads=2\n\n\
        Stop it with Ctrl-C or SIGTERM; every acknowledged share is on disk.")]
    Run {
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
    },

    /// Starts a whole local pool: regtest bitcoind, task nodes, miners, and the Koii rounds that drive them.
    #[command(after_help = "Examples:\n  \
        orcapool devnet                     five rounds on three nodes, then a closing table\n  \
        orcapool devnet --rounds 2 --json   the closing table as JSON on standard output\n  \
        orcapool devnet --keep              leave it running, with each node's dashboard\n\n\
        bitcoind is found through ORCAPOOL_BITCOIND or PATH; scripts/get-bitcoind gets one. The program comes from\n\
        scripts/build-program through ORCAPOOL_K2_PROGRAM or --k2-program; --without-k2 leaves the payout out.")]
    Devnet(DevnetArgs),

    /// Audits a round's bundle: by CID from the configured gateways, or from a CAR file.
    #[command(after_help = "Examples:\n  \
        orcapool audit -c orcapool.toml bafyrei...\n  \
        orcapool audit -c orcapool.toml round-7.car --json\n  \
        orcapool audit -c orcapool.toml bafyrei... --sample 271 --seed <hash of a K2 block after the submission>\n  \
        curl -o round-7.car 'http://node:8080/ipfs/bafyrei...?format=car'\n\n\
        Exit status: 0 valid, 1 invalid, 2 the audit could not be made.")]
    Audit(AuditArgs),

    /// Lists the shares of a round.
    #[command(after_help = "Example:\n  orcapool shares -c orcapool.toml --round 7 --json")]
    Shares {
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
        /// The round.
        #[arg(long, short)]
        round: RoundNumber,
        /// One JSON object a line instead of a table.
        #[arg(long)]
        json: bool,
    },

    /// Lists the rounds this node took part in, newest first.
    #[command(after_help = "Example:\n  orcapool rounds -c orcapool.toml --limit 10")]
    Rounds {
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// One JSON object a line instead of a table.
        #[arg(long)]
        json: bool,
    },

    /// Checks or shows the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Am I mining, is my last submission accepted, what did I earn, what needs my hand?
    #[command(after_help = "Examples:\n  \
        orcapool status -c orcapool.toml\n  \
        orcapool status --url http://192.0.2.7:8080 --watch\n  \
        orcapool status --json | jq .problems\n\n\
        Asks the node that runs on this machine. If none does, it says what the store last knew.\n\
        Exit status: 0 all well, 1 something needs your hand, 2 there is nobody to ask.")]
    Status(StatusArgs),

    /// Says which of configuration, Bitcoin node, ports, store and peers is wrong, and what to do.
    #[command(
        after_help = "Example:\n  orcapool doctor -c orcapool.toml\n\nExit status: 0 all well, 1 something needs your hand."
    )]
    Doctor {
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
        /// JSON instead of a list.
        #[arg(long)]
        json: bool,
    },

    /// Asks the node that runs on this machine whether it is alive: a container's health check.
    #[command(
        after_help = "Example:\n  orcapool healthcheck -c orcapool.toml\n\nExit status: 0 alive, 1 not."
    )]
    Healthcheck {
        /// Where the configuration comes from; only `http.listen` is read.
        #[command(flatten)]
        config: ConfigArgs,
        /// Alive is not enough: it must hand out jobs too.
        #[arg(long)]
        ready: bool,
    },

    /// The program on K2: mint, propose, attest, claim, redeem.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    K2 {
        /// What every command on K2 takes.
        #[command(flatten)]
        common: K2Args,
        /// What to do.
        #[command(subcommand)]
        command: Box<K2Command>,
    },

    /// A custodian's keys: made, encrypted, shown as an xpub with its origin.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Keys {
        /// What every command on the pool's Bitcoin takes.
        #[command(flatten)]
        common: CustodyArgs,
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },

    /// The pool's wallet, watch-only: descriptor, addresses, balance, history.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Wallet {
        /// What every command on the pool's Bitcoin takes.
        #[command(flatten)]
        common: CustodyArgs,
        /// What to do.
        #[command(subcommand)]
        command: WalletCommand,
    },

    /// Partially signed transactions: what they do, in words; combining them.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Psbt {
        /// What every command on the pool's Bitcoin takes.
        #[command(flatten)]
        common: CustodyArgs,
        /// What to do.
        #[command(subcommand)]
        command: PsbtCommand,
    },

    /// Signs a PSBT, if it does nothing but what the pool owes.
    Sign(SignArgs),

    /// Pays redemptions: one transaction a batch, from its intent to its settlement on K2.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Payout {
        /// What every command on the pool's Bitcoin takes.
        #[command(flatten)]
        common: CustodyArgs,
        /// What to do.
        #[command(subcommand)]
        command: PayoutCommand,
    },

    /// Proves, or verifies, that the wrapped BTC are backed.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Reserves {
        /// What every command on the pool's Bitcoin takes.
        #[command(flatten)]
        common: CustodyArgs,
        /// What to do.
        #[command(subcommand)]
        command: ReservesCommand,
    },

    /// The money trail: where every satoshi is, from its coinbase to its burn, held against the node and K2.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Books {
        /// What every command on the pool's Bitcoin takes.
        #[command(flatten)]
        common: CustodyArgs,
        /// What to do.
        #[command(subcommand)]
        command: BooksCommand,
    },

    /// Mines on this machine's processor against any Stratum V1 pool.
    #[command(after_help = "Example:\n  \
        orcapool mine --url stratum+tcp://127.0.0.1:3333 --user <K2 address>.laptop --threads 2")]
    Mine(MineArgs),

    /// Prints the OpenAPI document of the HTTP interface.
    #[command(name = "openapi")]
    OpenApi,
}

/// `orcapool config ...`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Checks every key and says what is wrong.
    Check {
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Prints the configuration that results from all layers, as TOML, secrets redacted.
    Show {
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// `orcapool devnet`
#[derive(Debug, Args)]
pub struct DevnetArgs {
    /// Koii rounds to drive.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub rounds: u64,
    /// Seconds a round lasts.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub round_seconds: u64,
    /// Task nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub nodes: u16,
    /// `regtest`: every share is a block. `signet`: a private signet, where a block costs about five million hashes.
    #[arg(long, value_enum, default_value_t = DevnetChain::Regtest)]
    pub chain: DevnetChain,
    /// Keep the network running after the last round, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// The closing report as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Keep data and logs in this (new or empty) directory instead of a temporary one.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The bitcoind to run.
    #[arg(long, env = "ORCAPOOL_BITCOIND", value_name = "FILE")]
    pub bitcoind: Option<PathBuf>,
    /// The program on K2, as scripts/build-program makes it.
    #[arg(long, env = "ORCAPOOL_K2_PROGRAM", value_name = "FILE")]
    pub k2_program: Option<PathBuf>,
    /// Play the rounds only; nobody is paid.
    #[arg(long)]
    pub without_k2: bool,
    /// Custody of one key instead of 2-of-3, to try the upgrade.
    #[arg(long)]
    pub single_sig: bool,
}

/// The chain of a devnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DevnetChain {
    /// Bitcoin Core's regression test chain.
    Regtest,
    /// A signet of our own whose challenge anybody meets.
    Signet,
}

/// `orcapool audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// A bundle's CID, or a CAR file that holds one.
    pub bundle: String,
    /// Open only the chunks that hold N randomly chosen hashes of the work: for a bundle too large to fetch whole.
    #[arg(long, value_name = "N", requires = "seed",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(rounds::MAX_SAMPLES)))]
    pub sample: Option<u32>,
    /// Hash of a K2 block later than the round's seal, 64 hex digits: nobody could know it when the bundle was made.
    #[arg(long, value_name = "HEX", requires = "sample")]
    pub seed: Option<SampleSeed>,
    /// JSON instead of a sentence.
    #[arg(long)]
    pub json: bool,
}

/// `orcapool status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The node to ask, `http://host:port`, instead of the one that `http.listen` names on this machine.
    #[arg(long)]
    pub url: Option<String>,
    /// JSON instead of sentences: what `GET /api/status` answers.
    #[arg(long)]
    pub json: bool,
    /// Ask again every two seconds, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
}

/// `orcapool mine`
#[derive(Debug, Args)]
pub struct MineArgs {
    /// The pool, `stratum+tcp://host:port`.
    #[arg(long)]
    pub url: String,
    /// `<K2 address>.<worker>`.
    #[arg(long)]
    pub user: String,
    /// Password; pools read options such as `d=0.001` from it.
    #[arg(long, default_value = "x")]
    pub password: String,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Hashes per second it may try in all; 0 is no limit.
    #[arg(long, default_value_t = 0)]
    pub max_hash_rate: u64,
    /// A `tracing` filter.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
