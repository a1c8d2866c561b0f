//! Units that must not be mixed up, and the clock they come from.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The number of a Koii round, counted from 0 as the task contract does.
///
/// At most 2^53 - 1: the Koii side carries it as a JavaScript number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct RoundNumber(u64);

impl RoundNumber {
    /// The first round.
    pub const ZERO: Self = Self(0);
    /// The last number a JavaScript wrapper can carry exactly.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The round with this number, if a JavaScript wrapper can carry it.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The round after this one (the last round is its own successor).
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX.0 {
            Self(self.0 + 1)
        } else {
            self
        }
    }

    /// The round before this one.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for RoundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a text is not a round number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a round is a whole number from 0 to 9007199254740991 without sign or leading zeros")]
pub struct RoundNumberError;

impl FromStr for RoundNumber {
    type Err = RoundNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(RoundNumberError);
        }
        text.parse()
            .ok()
            .and_then(Self::new)
            .ok_or(RoundNumberError)
    }
}

impl TryFrom<u64> for RoundNumber {
    type Error = RoundNumberError;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        Self::new(number).ok_or(RoundNumberError)
    }
}

impl From<RoundNumber> for u64 {
    fn from(round: RoundNumber) -> Self {
        round.0
    }
}

/// Seconds since 1970-01-01 00:00:00 UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// `seconds` later.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// `seconds` earlier, not before 1970.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where time comes from. Everything below the binary takes a time as a parameter; this is the seam in its shells.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixTime;
    /// Time since some fixed moment of this process; never steps back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        // A clock before 1970 is a machine without a clock: 0 makes every ntime "too new", which is safe.
        UnixTime(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rounds_are_plain_decimal_numbers() {
        assert_eq!("0".parse(), Ok(RoundNumber::ZERO));
        assert_eq!("9007199254740991".parse(), Ok(RoundNumber::MAX));
        for bad in [
            "",
            "-1",
            "+1",
            "01",
            "1.0",
            "9007199254740992",
            "0x1",
            " 1",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<RoundNumber>().is_err(), "{bad}");
        }
        assert_eq!(RoundNumber::MAX.next(), RoundNumber::MAX);
        assert_eq!(RoundNumber::ZERO.previous(), None);
    }
}
