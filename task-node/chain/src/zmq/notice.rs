//! `hashblock` messages: parsing, gaps in the sequence, and connections that have gone deaf. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bitcoin::{BlockHash, hashes::Hash as _};

pub(super) const TOPIC: &str = "hashblock";

/// How long a notice may trail behind the same news from another source before the connection counts as dead.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// A parsed `hashblock` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) hash: BlockHash,
    pub(super) sequence: u32,
}

/// Three frames: topic, hash in display order (the reverse of the header's byte order), counter as u32 little endian.
pub(super) fn parse_notice<T: AsRef<[u8]>>(frames: &[T]) -> Option<Notice> {
    let [topic, hash, sequence] = frames else {
        return None;
    };
    if topic.as_ref() != TOPIC.as_bytes() {
        return None;
    }
    let mut hash: [u8; 32] = hash.as_ref().try_into().ok()?;
    hash.reverse();
    let sequence = u32::from_le_bytes(sequence.as_ref().try_into().ok()?);
    Some(Notice {
        hash: BlockHash::from_byte_array(hash),
        sequence,
    })
}

/// Counts messages lost on one connection.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    next: Option<u32>,
}

impl Sequence {
    /// How many messages are missing before this one. The counter wraps; going backwards means a restarted node.
    pub(super) fn observe(&mut self, sequence: u32) -> u32 {
        let missed = self.next.map_or(0, |next| sequence.wrapping_sub(next));
        self.next = Some(sequence.wrapping_add(1));
        if missed > u32::MAX / 2 { 0 } else { missed }
    }
}

/// Notices a subscription that has gone deaf: another source told of a tip, and ZMQ never did.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    heard: VecDeque<BlockHash>,
    awaited: Option<(BlockHash, Instant)>,
}

impl Hearing {
    const REMEMBERED: usize = 64;

    pub(super) fn heard(&mut self, hash: BlockHash) {
        // A burst of blocks is one piece of news: whatever was awaited, this connection is alive.
        self.awaited = None;
        if self.heard.len() == Self::REMEMBERED {
            self.heard.pop_front();
        }
        self.heard.push_back(hash);
    }

    pub(super) fn known_elsewhere(&mut self, hash: BlockHash, now: Instant) {
        if self.awaited.is_none() && !self.heard.contains(&hash) {
            self.awaited = Some((hash, now));
        }
    }

    pub(super) fn is_deaf(&self, now: Instant) -> bool {
        self.awaited
            .is_some_and(|(_, since)| now.saturating_duration_since(since) >= GRACE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn hash(n: u8) -> BlockHash {
        BlockHash::from_byte_array([n; 32])
    }

    #[test]
    fn a_notice_carries_the_hash_in_display_order() {
        let text = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let display = <[u8; 32] as bitcoin::hex::FromHex>::from_hex(text).unwrap();
        let notice = parse_notice(&[
            b"hashblock".to_vec(),
            display.to_vec(),
            7_u32.to_le_bytes().to_vec(),
        ])
        .unwrap();
        assert_eq!(notice.hash.to_string(), text);
        assert_eq!(notice.sequence, 7);
    }

    #[test]
    fn lost_notices_are_counted_across_the_wrap_and_not_after_a_restart() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.observe(u32::MAX - 1), 0);
        assert_eq!(sequence.observe(u32::MAX), 0);
        assert_eq!(sequence.observe(2), 2);
        assert_eq!(sequence.observe(3), 0);
        assert_eq!(sequence.observe(0), 0);
        assert_eq!(sequence.observe(1), 0);
    }

    #[test]
    fn silently_dead_subscription_datum_37() {
        let start = Instant::now();
        let mut hearing = Hearing::default();
        hearing.heard(hash(1));
        hearing.known_elsewhere(hash(1), start);
        assert!(
            !hearing.is_deaf(start + 10 * GRACE),
            "the notice came first"
        );

        hearing.known_elsewhere(hash(2), start);
        assert!(!hearing.is_deaf(start), "a moment's delay is not deafness");
        hearing.known_elsewhere(hash(3), start + GRACE);
        assert!(
            hearing.is_deaf(start + GRACE),
            "later blocks do not restart the clock"
        );

        hearing.heard(hash(3));
        assert!(!hearing.is_deaf(start + 10 * GRACE), "alive after all");
    }

    proptest! {
        #[test]
        fn no_frames_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
            let _ = parse_notice(&frames);
        }
    }
}
