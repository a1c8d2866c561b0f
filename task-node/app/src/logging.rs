//! The log: structured, on standard error, so that standard output stays for results.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts the log.
///
/// # Errors
/// An unreadable filter, or a log that was started before.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter: EnvFilter = level
        .parse()
        .with_context(|| format!("log level `{level}`: write for example info or stratum=debug"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))
}
