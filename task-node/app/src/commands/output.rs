//! Standard output that survives a closed pipe (`orcapool shares | head`).

use std::io::{ErrorKind, Write as _};

/// Writes a line; a reader that has gone ends the process quietly, as it does for other tools.
///
/// # Errors
/// Any other failure to write.
pub(super) fn line(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end_matches('\n')) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// `value` as one line of JSON.
///
/// # Errors
/// As [`line`].
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(line(&serde_json::to_string(value)?)?)
}
