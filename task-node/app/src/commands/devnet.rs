//! `orcapool devnet`

use std::process::ExitCode;

use super::{output, stop_on_signal};
use crate::cli::DevnetArgs;
use crate::{devnet, logging};

pub(super) async fn run(args: &DevnetArgs) -> anyhow::Result<ExitCode> {
    logging::start_progress("devnet=info,warn")?;
    let report = Box::pin(devnet::run(args, stop_on_signal()?)).await?;
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&report.table())?;
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
