//! `orcapool payout ...`

use clap::Subcommand;

/// `orcapool payout ...`
#[derive(Debug, Subcommand)]
pub enum PayoutCommand {}
