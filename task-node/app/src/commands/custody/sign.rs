//! `orcapool sign`

use std::process::ExitCode;

use crate::cli::SignArgs;

pub(crate) async fn run(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let _ = args;
    Ok(ExitCode::SUCCESS)
}
