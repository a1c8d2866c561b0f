//! `orcapool run`

use std::process::ExitCode;

use super::{configuration, stop_on_signal};
use crate::cli::ConfigArgs;
use crate::{logging, node};

pub(super) async fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = configuration(args)?;
    logging::start(config.log_format, &config.log_level)?;
    node::run(config, stop_on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}
