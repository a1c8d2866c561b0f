//! `orcapool psbt ...`

use std::process::ExitCode;

use crate::cli::{CustodyArgs, PsbtCommand};

#[expect(clippy::unused_async, reason = "other commands wait")]
pub(crate) async fn run(_common: &CustodyArgs, command: &PsbtCommand) -> anyhow::Result<ExitCode> {
    match *command {}
}
