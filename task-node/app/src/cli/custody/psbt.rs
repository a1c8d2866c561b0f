//! `orcapool psbt ...` and `orcapool sign`

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{CustodyArgs, UnlockArgs};

/// `orcapool psbt ...`
#[derive(Debug, Subcommand)]
pub enum PsbtCommand {
    /// Says in words what a transaction does: who gets what, for which redemption, at what fee, and who signed.
    ///
    /// In a wallet's folder it is reviewed as `orcapool sign` would. Without one, or with --offline, it is only what the
    /// file says. Exit status 1: the review refuses it.
    #[command(after_help = "Examples:\n  \
        orcapool psbt show -c orcapool.toml payment.psbt\n  \
        orcapool psbt show payment.psbt --offline --json")]
    Show(ShowPsbtArgs),

    /// Puts the signatures of several files of one transaction into one file.
    #[command(after_help = "Example:\n  orcapool psbt combine alice.psbt bob.psbt -o signed.psbt")]
    Combine(CombinePsbtArgs),
}

/// `orcapool psbt show`
#[derive(Debug, Args)]
pub struct ShowPsbtArgs {
    /// The PSBT, binary or base64.
    pub file: PathBuf,
    /// Ask no node and look at no wallet.
    #[arg(long)]
    pub offline: bool,
}

/// `orcapool psbt combine`
#[derive(Debug, Args)]
pub struct CombinePsbtArgs {
    /// The PSBTs, binary or base64. All but signatures is taken from the first one.
    #[arg(required = true, num_args = 1.., value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the result goes, binary. It must not exist.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `orcapool sign`
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("signer").required(true),
    after_help = "Examples:\n  \
        orcapool sign -c orcapool.toml payment.psbt --key alice.key\n  \
        orcapool sign -c orcapool.toml payment.psbt --key alice.key --passphrase-file secret.txt --yes -o alice.psbt\n  \
        orcapool sign -c orcapool.toml payment.psbt --external -o for-my-hardware-wallet.psbt\n  \
        orcapool sign -c orcapool.toml sweep.psbt --key alice.key --sweep-to bc1q...        to the next wallet\n  \
        orcapool sign -c orcapool.toml cancel.psbt --key alice.key --unknown-cancel         a colleague's payment is held back\n\n\
        The wallet is synced from your own node and K2 is read from your own endpoint; the transaction is held against every \
        rule before you are asked. Exit status 1: a rule refuses it, which is named, or you said no."
)]
pub struct SignArgs {
    /// What every command on the pool's Bitcoin takes.
    #[command(flatten)]
    pub common: CustodyArgs,
    /// The PSBT, binary or base64.
    pub file: PathBuf,
    /// Your key file.
    #[arg(long, value_name = "KEYFILE", group = "signer")]
    pub key: Option<PathBuf>,
    /// Sign with a hardware wallet, or on another machine: what passed the review is written down and handed out unsigned.
    #[arg(long, group = "signer")]
    pub external: bool,
    /// What opens the key file.
    #[command(flatten)]
    pub unlock: UnlockArgs,
    /// Where a sweep to another wallet must go, from that wallet's own `orcapool wallet create`: not from FILE, and not from
    /// whoever sent it.
    #[arg(long, value_name = "ADDRESS")]
    pub sweep_to: Option<String>,
    /// Sign a cancellation of a payment that this wallet's journal does not know: when another custodian, who signed that
    /// payment, says that it is held back. The coins stay in the wallet, and it costs its fee.
    #[arg(long)]
    pub unknown_cancel: bool,
    /// Where the result goes, binary. It must not exist. Without it, next to FILE, with the key's fingerprint in its name.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}
