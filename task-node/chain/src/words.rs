//! Other programs' words, made fit for an error or a log line. The client of K2 uses them too.

/// The longest piece of another program's own text that is shown, in characters.
const CLIP: usize = 240;

/// A node's text made safe to show: bounded, control characters replaced.
#[must_use]
pub fn clip(text: &str) -> String {
    let mut clipped: String = text
        .chars()
        .take(CLIP)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(CLIP).is_some() {
        clipped.push('…');
    }
    clipped
}

/// reqwest's own message is only "error sending request"; the cause below it is what helps. Without the URL, which may hold a
/// password.
#[must_use]
pub fn with_causes(error: reqwest::Error) -> String {
    use std::error::Error as _;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    clip(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_cannot_forge_or_flood_the_log() {
        let shown = clip(&format!(
            "ok\n2026-01-01 ERROR forged\u{1b}[31m{}",
            "x".repeat(10_000)
        ));
        assert!(!shown.chars().any(char::is_control));
        assert_eq!(shown.chars().count(), CLIP + 1);
        assert_eq!(clip("duplicate"), "duplicate");
    }
}
