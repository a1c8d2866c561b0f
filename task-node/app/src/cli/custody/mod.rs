//! `orcapool keys|wallet|psbt|sign|payout|reserves|books`: the pool's Bitcoin.

mod books;
mod keys;
mod payout;
mod psbt;
mod reserves;
mod wallet;

use std::path::PathBuf;

use clap::Args;

pub use books::{BooksCommand, ReadBooksArgs};
pub use keys::{
    ExportKeyArgs, KeyNetwork, KeysCommand, NewKeyArgs, RotateKeyArgs, ShowKeyArgs, UnlockArgs,
};
pub use payout::{PayoutCommand, TurnArgs};
pub use psbt::{CombinePsbtArgs, PsbtCommand, ShowPsbtArgs, SignArgs};
pub use reserves::{ReservesCommand, SignReservesArgs, VerifyReservesArgs};
pub use wallet::{CreateWalletArgs, ReadWalletArgs, WalletCommand};

use super::ConfigArgs;

/// What every command on the pool's Bitcoin takes.
#[derive(Debug, Clone, Args)]
pub struct CustodyArgs {
    /// Where the configuration comes from; `[custody]`, `[bitcoin]` and `[k2]` are read.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The wallet's folder (`custody.dir`; else `custody` in the data folder).
    #[arg(long, global = true, value_name = "DIR")]
    pub wallet: Option<PathBuf>,
    /// JSON instead of sentences: one object a line.
    #[arg(long, global = true)]
    pub json: bool,
}
