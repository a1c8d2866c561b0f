//! `orcapool payout ...`

use std::process::ExitCode;

use crate::cli::{CustodyArgs, PayoutCommand};

#[expect(clippy::unused_async, reason = "other commands wait")]
pub(crate) async fn run(
    _common: &CustodyArgs,
    command: &PayoutCommand,
) -> anyhow::Result<ExitCode> {
    match *command {}
}
