//! `orcapool psbt ...`

use clap::Subcommand;

/// `orcapool psbt ...`
#[derive(Debug, Subcommand)]
pub enum PsbtCommand {}

/// `orcapool sign`
#[derive(Debug, clap::Args)]
pub struct SignArgs {
    /// What every command on the pool's Bitcoin takes.
    #[command(flatten)]
    pub common: super::CustodyArgs,
}
