//! `orcapool wallet ...`

use clap::{ArgGroup, Args, Subcommand};

/// `orcapool wallet ...`
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// Makes the watch-only wallet of one key or of several.
    #[command(after_help = "Examples:\n  \
        orcapool wallet create -c orcapool.toml --single @alice.key\n  \
        orcapool wallet create -c orcapool.toml --multisig 2 @alice.pub '[5a6b7c8d/48h/0h/0h/2h]xpub6E...' @carol.pub\n\n\
        Every custodian does this with the same keys, in any order, and compares descriptor and addresses with the others \
        over a channel they trust, before the pool mines to it.")]
    Create(CreateWalletArgs),

    /// Makes it again from its descriptor alone.
    #[command(after_help = "Example:\n  \
        orcapool wallet restore -c orcapool.toml 'wsh(sortedmulti(2,...))#checksum' --birthday 830000\n\n\
        Without --birthday the whole chain is looked at, which takes a node many hours on the main network.")]
    Restore {
        /// The descriptor, with its checksum.
        descriptor: String,
        /// The first block that may concern it.
        #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
        birthday: u32,
    },

    /// Follows the chain to its tip and says what changed.
    #[command(after_help = "Example:\n  orcapool wallet sync -c orcapool.toml")]
    Sync,

    /// Shows descriptor, keys, first addresses, and where it stands.
    #[command(after_help = "Example:\n  orcapool wallet show -c orcapool.toml --json")]
    Show,

    /// The address of the pool's coinbases, as the pool's configuration and K2 take it.
    #[command(after_help = "Examples:\n  \
        orcapool wallet address -c orcapool.toml\n  \
        orcapool k2 init ... --custody $(orcapool wallet address -c orcapool.toml)")]
    Address,

    /// What there is: immature, mature, on its way.
    #[command(after_help = "Examples:\n  \
        orcapool wallet balance -c orcapool.toml\n  \
        orcapool wallet balance -c orcapool.toml --offline --json")]
    Balance(ReadWalletArgs),

    /// Every transaction, oldest first.
    #[command(after_help = "Example:\n  orcapool wallet history -c orcapool.toml --json")]
    History(ReadWalletArgs),

    /// Every coin that no confirmed transaction spends.
    #[command(after_help = "Example:\n  orcapool wallet utxos -c orcapool.toml")]
    Utxos(ReadWalletArgs),
}

/// `orcapool wallet create`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("keys").required(true))]
pub struct CreateWalletArgs {
    /// One key: an xpub with its origin, or @FILE (a key file, or what `orcapool keys export` wrote).
    #[arg(long, value_name = "XPUB", group = "keys")]
    pub single: Option<String>,
    /// How many signatures it takes, and the keys.
    #[arg(long, value_names = ["M", "XPUB"], num_args = 3..=16, group = "keys")]
    pub multisig: Option<Vec<String>>,
    /// The first block that may concern it; two weeks ago by default, because not all custodians do this on one day.
    #[arg(long, value_name = "HEIGHT")]
    pub birthday: Option<u32>,
}

/// What the commands that only read take.
#[derive(Debug, Args)]
pub struct ReadWalletArgs {
    /// As of the last sync, without asking a node.
    #[arg(long)]
    pub offline: bool,
}
