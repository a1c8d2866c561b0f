//! `orcapool config check|show`

use std::process::ExitCode;

use super::{configuration, output};
use crate::cli::ConfigCommand;
use crate::config::{load, redacted};

pub(super) fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { config } => {
            configuration(config)?;
            output::line("the configuration is right")?;
        }
        ConfigCommand::Show { config } => {
            let raw = load(config.config.as_deref(), &config.assignments())?;
            output::line(&toml::to_string_pretty(&redacted(&raw))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
