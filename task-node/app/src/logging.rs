//! The log: structured, on standard error, so that standard output stays for results.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Instant;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::LogFormat;

/// Starts the log.
///
/// # Errors
/// An unreadable filter, or a log that was started before.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))
}

/// Starts a log for a command that a person watches: seconds since the start and the message, nothing else.
///
/// # Errors
/// As [`start`].
pub fn start_progress(level: &str) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_ansi(false)
        .with_level(false)
        .with_target(false)
        .with_timer(Elapsed(Instant::now()))
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))
}

/// Time since the start, as `12.3 s`.
struct Elapsed(Instant);

impl FormatTime for Elapsed {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:>6.1} s ", self.0.elapsed().as_secs_f64())
    }
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    level
        .parse()
        .with_context(|| format!("log level `{level}`: write for example info or stratum=debug"))
}
