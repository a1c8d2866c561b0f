//! Numbers in words.

/// A span of time in its largest unit: `12 s`, `3 min`, `5 h`, `2 days`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long ago; a moment ahead of the clock is now.
pub(super) fn ago(now: u64, at: u64) -> String {
    format!("{} ago", span(now.saturating_sub(at)))
}

/// Hashes per second with a prefix, three digits.
pub(super) fn rate(hashes: f64) -> String {
    const PREFIXES: [&str; 8] = ["", "k", "M", "G", "T", "P", "E", "Z"];
    let mut value = if hashes.is_finite() {
        hashes.max(0.0)
    } else {
        0.0
    };
    let mut prefix = 0;
    while value >= 999.5 && prefix + 1 < PREFIXES.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let digits = match value {
        _ if prefix == 0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}H/s", PREFIXES[prefix])
}

/// Satoshis, grouped in thousands: money is read, not counted.
pub(super) fn sats(sats: u64) -> String {
    let digits = sats.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + " sat"
}

/// A number of things.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_units() {
        for (seconds, said) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
            (u64::MAX, "213503982334601 days"),
        ] {
            assert_eq!(span(seconds), said);
        }
        assert_eq!(ago(10, 25), "0 s ago");
        for (hashes, said) in [
            (0.0, "0 H/s"),
            (999.4, "999 H/s"),
            (999.6, "1.00 kH/s"),
            (1.234e12, "1.23 TH/s"),
            (12.34e12, "12.3 TH/s"),
            (123.4e12, "123 TH/s"),
            (1e30, "1000000000 ZH/s"),
            (f64::NAN, "0 H/s"),
            (-1.0, "0 H/s"),
        ] {
            assert_eq!(rate(hashes), said);
        }
        for (amount, said) in [
            (0, "0 sat"),
            (999, "999 sat"),
            (1_000, "1,000 sat"),
            (2_100_000_000_000_000, "2,100,000,000,000,000 sat"),
        ] {
            assert_eq!(sats(amount), said);
        }
        assert_eq!(count(1, "share", "shares"), "1 share");
        assert_eq!(count(0, "share", "shares"), "0 shares");
    }
}
