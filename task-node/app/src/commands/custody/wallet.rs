//! `orcapool wallet ...`

use std::process::ExitCode;

use crate::cli::{CustodyArgs, WalletCommand};

#[expect(clippy::unused_async, reason = "other commands wait")]
pub(crate) async fn run(
    _common: &CustodyArgs,
    command: &WalletCommand,
) -> anyhow::Result<ExitCode> {
    match *command {}
}
