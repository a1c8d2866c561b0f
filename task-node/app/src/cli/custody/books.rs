//! `orcapool books ...`

use clap::{Args, Subcommand};

/// `orcapool books ...`
#[derive(Debug, Subcommand)]
pub enum BooksCommand {
    /// Shows every account's balance.
    #[command(after_help = "Examples:\n  \
        orcapool books show -c orcapool.toml\n  \
        orcapool books show -c orcapool.toml --offline --json")]
    Show(ReadBooksArgs),

    /// Lists the entries, oldest first: what moved, and what was taken back.
    #[command(after_help = "Examples:\n  \
        orcapool books entries -c orcapool.toml\n  \
        orcapool books entries -c orcapool.toml --account unexplained\n  \
        orcapool books entries -c orcapool.toml --from 1200 --json")]
    Entries {
        /// From this entry on.
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        from: u64,
        /// Only those that touch this account, as `books show` names it.
        #[arg(long)]
        account: Option<String>,
        /// How to read them.
        #[command(flatten)]
        read: ReadBooksArgs,
    },

    /// Holds the books against the Bitcoin node and K2.
    #[command(
        after_help = "Example:\n  orcapool books check -c orcapool.toml --json\n\n\
        Exit status: 0 everything agrees, 1 something does not, and is named, 2 it could not be checked."
    )]
    Check,
}

/// What the commands that only read take.
#[derive(Debug, Default, Args)]
pub struct ReadBooksArgs {
    /// As they were last written, without asking a node or K2.
    #[arg(long)]
    pub offline: bool,
}
