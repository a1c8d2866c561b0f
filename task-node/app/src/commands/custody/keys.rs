//! `orcapool keys ...`

use std::process::ExitCode;

use crate::cli::{CustodyArgs, KeysCommand};

#[expect(clippy::unused_async, reason = "other commands wait")]
pub(crate) async fn run(_common: &CustodyArgs, command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match *command {}
}
