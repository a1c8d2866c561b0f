//! `orcapool reserves ...`

use std::process::ExitCode;

use crate::cli::{CustodyArgs, ReservesCommand};

#[expect(clippy::unused_async, reason = "other commands wait")]
pub(crate) async fn run(
    _common: &CustodyArgs,
    command: &ReservesCommand,
) -> anyhow::Result<ExitCode> {
    match *command {}
}
