//! `orcapool keys ...`

use clap::Subcommand;

/// `orcapool keys ...`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {}
