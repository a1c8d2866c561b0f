//! `orcapool reserves ...`

use clap::Subcommand;

/// `orcapool reserves ...`
#[derive(Debug, Subcommand)]
pub enum ReservesCommand {}
