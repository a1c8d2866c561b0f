//! `orcapool k2 ...`: the program on K2.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use work::{K2Address, RoundNumber};

use super::ConfigArgs;

/// What every command on K2 takes.
#[derive(Debug, Clone, Args)]
pub struct K2Args {
    /// Where the configuration comes from; `[k2]` and `[bitcoin]` are read.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// JSON-RPC endpoint (`k2.rpc`; may be repeated).
    #[arg(long, global = true, value_name = "URL")]
    pub rpc: Vec<String>,
    /// The pool's program (`k2.program`).
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub program: Option<K2Address>,
    /// Keypair file of whoever signs and pays (`k2.keypair`; else ~/.config/koii/id.json).
    #[arg(long, short, global = true, value_name = "FILE")]
    pub keypair: Option<PathBuf>,
    /// Show what would change and what it would cost; send nothing. Exit status 1 if it would fail.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// JSON instead of sentences: one object a line.
    #[arg(long, global = true)]
    pub json: bool,
}

/// `orcapool k2 ...`
#[derive(Debug, Subcommand)]
pub enum K2Command {
    /// Sets the program up: configuration, token, and the relay's checkpoint. Only its upgrade authority can.
    #[command(after_help = "Example:\n  \
        orcapool k2 init -c orcapool.toml -k upgrade-authority.json --authority <ADDRESS> --guardian <ADDRESS> \\\n    \
        --quorum 3 --custody bc1q... --checkpoint 912345\n\n\
        The checkpoint is read from the configured Bitcoin node; compare it before anybody mints.")]
    Init(InitArgs),

    /// Brings the relay to the tip of the configured Bitcoin node's chain.
    #[command(after_help = "Examples:\n  \
        orcapool k2 relay -c orcapool.toml -k id.json            once\n  \
        orcapool k2 relay -c orcapool.toml -k id.json --follow   until Ctrl-C, re-organisations included")]
    Relay {
        /// Go on with every new block.
        #[arg(long)]
        follow: bool,
    },

    /// Mints matured coinbases that pay custody.
    #[command(after_help = "Examples:\n  \
        orcapool k2 mint -c orcapool.toml -k id.json                 every block since the relay's oldest\n  \
        orcapool k2 mint -c orcapool.toml -k id.json --from 912000   older blocks too, through a cursor\n  \
        orcapool k2 mint -c orcapool.toml -k id.json --deposit <txid> --block <hash>   an ordinary deposit")]
    Mint {
        /// First height to look at; the relay's oldest block by default.
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u32>,
        /// Mint this transaction's outputs to the deposit script instead.
        #[arg(long, value_name = "TXID", requires = "block")]
        deposit: Option<bitcoin::Txid>,
        /// The block it is in.
        #[arg(long, value_name = "HASH", requires = "deposit")]
        block: Option<bitcoin::BlockHash>,
    },

    /// Proposes the reward root of a settled round, as the own task node computed it.
    #[command(
        after_help = "Example:\n  orcapool k2 propose -c orcapool.toml -k operator.json --round 7"
    )]
    Propose(RoundArgs),

    /// Attests a proposed root, if the own task node computed the same.
    #[command(
        after_help = "Example:\n  orcapool k2 attest -c orcapool.toml -k operator.json --round 7"
    )]
    Attest(RoundArgs),

    /// Puts an attested root in force once its challenge slots are over.
    #[command(
        after_help = "Example:\n  orcapool k2 finalize -c orcapool.toml -k id.json --round 7"
    )]
    Finalize {
        /// The round.
        #[arg(long, short)]
        round: RoundNumber,
    },

    /// Ends a proposal that is wrong. Guardian or authority.
    Veto {
        /// The round.
        #[arg(long, short)]
        round: RoundNumber,
        /// Who proposed it.
        #[arg(long, value_name = "ADDRESS")]
        proposer: K2Address,
    },

    /// Pays an owner everything earned and not claimed yet. Anybody may pay the fee.
    #[command(after_help = "Examples:\n  \
        orcapool k2 claim --program <ADDRESS> -k me.json --from http://pool-node:8080   what the keypair's owner earned\n  \
        orcapool k2 claim --program <ADDRESS> -k any.json --owner <ADDRESS> --from https://ipfs.io\n\n\
        The list is fetched by the CID that stands on K2 and hashed, so it does not matter who serves it.")]
    Claim {
        /// Who earned; the keypair's own address by default.
        #[arg(long, value_name = "ADDRESS")]
        owner: Option<K2Address>,
        /// Earned as what; both by default.
        #[arg(long, value_enum)]
        role: Option<RoleArg>,
        /// Task nodes or IPFS gateways to fetch the list from; `content.gateways` and those of `[ipfs]` by default.
        #[arg(long, value_name = "URL")]
        from: Vec<String>,
    },

    /// Asks for BTC: locks wrapped tokens, which are burned when custody has paid.
    #[command(after_help = "Examples:\n  \
        orcapool k2 redeem --program <ADDRESS> -k me.json --amount 150000 --max-fee 2000 --to bc1q...   (satoshis)\n  \
        orcapool k2 redeem --program <ADDRESS> -k me.json --refund 12   after the expiry, if custody did not pay")]
    Redeem(RedeemArgs),

    /// Proves to the program which redemptions were paid, and burns their tokens.
    #[command(after_help = "Examples:\n  \
        orcapool k2 settle -c orcapool.toml -k id.json                                every payout the relay can show\n  \
        orcapool k2 settle -c orcapool.toml -k id.json --block <hash> --txid <txid>   those of one transaction")]
    Settle {
        /// The payout.
        #[arg(long, requires = "block")]
        txid: Option<bitcoin::Txid>,
        /// The block it is in.
        #[arg(long, value_name = "HASH", requires = "txid")]
        block: Option<bitcoin::BlockHash>,
    },

    /// Shows the pool on K2: supply, relay, rounds, operators, redemptions, what is paused.
    #[command(
        after_help = "Example:\n  orcapool k2 status --rpc http://127.0.0.1:8899 --program <ADDRESS> --json"
    )]
    Status,

    /// Operators' places and bonds.
    #[command(subcommand)]
    Operator(OperatorCommand),

    /// What authority and guardian may do.
    #[command(subcommand)]
    Admin(AdminCommand),

    /// Returns the rent of the keypair's accounts that are spent: proposals, fork, redemptions, proof buffers, and records
    /// below the mint horizon. A proof that is being uploaded meanwhile begins anew.
    Close,

    /// Does all an operator's node owes K2, again and again: relay, mint, propose, attest, finalize, settle.
    #[command(after_help = "Example:\n  orcapool k2 keep -c orcapool.toml -k operator.json")]
    Keep {
        /// The own task node.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        node: String,
        /// Seconds between two turns.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
        every: u64,
    },

    /// Runs a K2 on this machine, with the program installed.
    #[command(
        after_help = "Example:\n  orcapool k2 local -k id.json --so $(scripts/build-program | tail -1)"
    )]
    Local(LocalArgs),

    /// Says in words what a program error means.
    #[command(after_help = "Example:\n  orcapool k2 explain Claim 604")]
    Explain {
        /// The instruction's name.
        instruction: String,
        /// The number in `Custom(...)`.
        code: u32,
    },
}

/// `orcapool k2 init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// May admit operators and announce custody scripts; the keypair's own address by default.
    #[arg(long, value_name = "ADDRESS")]
    pub authority: Option<K2Address>,
    /// May pause and veto; the authority by default.
    #[arg(long, value_name = "ADDRESS")]
    pub guardian: Option<K2Address>,
    /// Operators that must attest a root.
    #[arg(long, default_value_t = 1)]
    pub quorum: u8,
    /// Custody: address or descriptor that coinbases pay (`payout.script`).
    #[arg(long, value_name = "ADDRESS")]
    pub custody: Option<String>,
    /// Address or descriptor for ordinary deposits; none by default.
    #[arg(long, value_name = "ADDRESS")]
    pub deposits: Option<String>,
    /// Height of the relay's first block; 10 below the Bitcoin node's tip by default.
    #[arg(long, value_name = "HEIGHT")]
    pub checkpoint: Option<u32>,
    /// Confirmations of deposits and payouts.
    #[arg(long, default_value_t = 6)]
    pub deposit_confirmations: u32,
    /// Blocks below the tip up to which an output can be minted.
    #[arg(long, default_value_t = 52_560)]
    pub mint_horizon: u32,
    /// Blocks of the mint window.
    #[arg(long, default_value_t = 144)]
    pub mint_window_blocks: u32,
    /// Satoshis that may be minted in one window.
    #[arg(long, default_value_t = 10_000_000_000)]
    pub mint_window_cap: u64,
    /// Satoshis that may be minted in all.
    #[arg(long, default_value_t = 2_100_000_000_000_000)]
    pub supply_cap: u64,
    /// Satoshis a redemption must pay out at least.
    #[arg(long, default_value_t = 10_000)]
    pub redeem_min: u64,
    /// Blocks after which a redemption may be refunded.
    #[arg(long, default_value_t = 144)]
    pub redeem_expiry_blocks: u32,
    /// Blocks for which the scripts before a rotation are honoured.
    #[arg(long, default_value_t = 1_008)]
    pub custody_grace_blocks: u32,
    /// Slots in which an attested root can be vetoed (a slot is about 0.4 s).
    #[arg(long, default_value_t = 9_000)]
    pub challenge_slots: u64,
    /// Slots between the announcement of custody scripts and their activation.
    #[arg(long, default_value_t = 432_000)]
    pub custody_delay_slots: u64,
    /// Slots an operator's bond stays locked after it left.
    #[arg(long, default_value_t = 1_512_000)]
    pub unbonding_slots: u64,
    /// Lamports an operator locks.
    #[arg(long, default_value_t = 10_000_000_000)]
    pub bond_lamports: u64,
}

/// `orcapool k2 propose`, `attest`
#[derive(Debug, Args)]
pub struct RoundArgs {
    /// The round.
    #[arg(long, short)]
    pub round: RoundNumber,
    /// The own task node, which computed the round.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub node: String,
}

/// `orcapool k2 redeem`
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct RedeemArgs {
    /// Satoshis to burn.
    #[arg(long, value_name = "SATS", requires = "to")]
    pub amount: Option<u64>,
    /// The most of them that may go to Bitcoin fees.
    #[arg(long, value_name = "SATS", default_value_t = 0)]
    pub max_fee: u64,
    /// Where the BTC go.
    #[arg(long, value_name = "ADDRESS", requires = "amount")]
    pub to: Option<String>,
    /// Take an expired redemption back instead.
    #[arg(long, value_name = "ID", conflicts_with_all = ["amount", "to"])]
    pub refund: Option<u64>,
}

/// `orcapool k2 operator ...`
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Takes a place, with a bond. The authority signs too.
    Register {
        /// The authority's keypair file.
        #[arg(long, value_name = "FILE")]
        authority: PathBuf,
    },
    /// Gives the place up; by the operator itself or, with --operator, by the authority.
    Leave {
        /// Whose place.
        #[arg(long, value_name = "ADDRESS")]
        operator: Option<K2Address>,
    },
    /// Takes the bond back after the unbonding slots.
    Withdraw,
    /// Burns the bond of an operator that attested two roots for one round.
    Slash {
        /// The operator.
        #[arg(long, value_name = "ADDRESS")]
        operator: K2Address,
        /// The round.
        #[arg(long, short)]
        round: RoundNumber,
        /// Who made the two proposals.
        #[arg(long, value_name = "ADDRESS", num_args = 2)]
        proposers: Vec<K2Address>,
    },
}

/// `orcapool k2 admin ...`
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Stops parts of the program. Guardian or authority.
    Pause {
        /// What.
        #[arg(value_enum, required = true)]
        what: Vec<PauseArg>,
    },
    /// Lets them go on. Authority.
    Resume {
        /// What.
        #[arg(value_enum, required = true)]
        what: Vec<PauseArg>,
    },
    /// Sets how many operators must attest. Authority.
    Quorum {
        /// More than half of them.
        quorum: u8,
    },
    /// Names the guardian. Authority.
    Guardian {
        /// The new one.
        key: K2Address,
    },
    /// Hands the authority over: first the old one names the new one, then the new one accepts.
    Authority {
        /// Names the next authority.
        #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["accept", "cancel"])]
        propose: Option<K2Address>,
        /// Accepts, as the named one.
        #[arg(long, conflicts_with = "cancel")]
        accept: bool,
        /// Takes the proposal back.
        #[arg(long)]
        cancel: bool,
    },
    /// Rotates the custody scripts: announce, wait, activate.
    Custody {
        /// Announces address or descriptor for coinbases.
        #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["activate", "cancel"])]
        propose: Option<String>,
        /// With --propose: address or descriptor for ordinary deposits.
        #[arg(long, value_name = "ADDRESS", requires = "propose")]
        deposits: Option<String>,
        /// Puts what was announced in force. Anybody may.
        #[arg(long, conflicts_with = "cancel")]
        activate: bool,
        /// Takes the announcement back. Guardian or authority.
        #[arg(long)]
        cancel: bool,
    },
}

/// What can be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PauseArg {
    /// Minting.
    Mint,
    /// Proposing, attesting and finalizing.
    Rounds,
    /// Claims.
    Claim,
    /// New redemptions.
    Redeem,
}

/// Earned as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// By shares.
    Miner,
    /// By the fee.
    Operator,
}

/// `orcapool k2 local`
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// The program, as scripts/build-program makes it.
    #[arg(long, env = "ORCAPOOL_K2_PROGRAM", value_name = "FILE")]
    pub so: PathBuf,
    /// Where to listen; subscriptions on the next port.
    #[arg(long, default_value = "127.0.0.1:8899", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Milliseconds a slot lasts.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub slot_millis: u64,
    /// The program's upgrade authority; the keypair's own address by default.
    #[arg(long, value_name = "ADDRESS")]
    pub upgrade_authority: Option<K2Address>,
}
