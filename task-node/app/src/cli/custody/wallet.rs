//! `orcapool wallet ...`

use clap::Subcommand;

/// `orcapool wallet ...`
#[derive(Debug, Subcommand)]
pub enum WalletCommand {}
