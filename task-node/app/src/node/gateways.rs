//! Where accepted submissions say that their bundles are given out: a help in finding them, that may be forgotten.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use content::NodeUrl;
use work::{K2Address, RoundNumber};

/// URLs remembered, some 200 bytes each; those of the oldest rounds go first. A bundle that was read once is here.
const REMEMBERED: usize = 4096;

/// What submitters said.
#[derive(Debug, Default)]
pub(super) struct Gateways(Mutex<BTreeMap<(RoundNumber, K2Address), NodeUrl>>);

impl Gateways {
    /// Remembers what the newest request says of a submission: a URL, or none.
    pub(super) fn note(&self, round: RoundNumber, node: K2Address, url: Option<NodeUrl>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match url {
            Some(url) => known.insert((round, node), url),
            None => known.remove(&(round, node)),
        };
        while known.len() > REMEMBERED {
            known.pop_first();
        }
    }

    pub(super) fn of(&self, round: RoundNumber, node: K2Address) -> Option<NodeUrl> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(round, node)).cloned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_newest_word_counts_and_the_oldest_rounds_are_forgotten() {
        let (node, other) = (
            K2Address::from_bytes([1; 32]),
            K2Address::from_bytes([2; 32]),
        );
        let url = || Some("http://203.0.113.9:8338".parse().unwrap());
        let gateways = Gateways::default();
        let round = |number| RoundNumber::new(number).unwrap();
        gateways.note(round(0), node, url());
        assert_eq!(gateways.of(round(0), node), url());
        assert_eq!(gateways.of(round(0), other), None);
        assert_eq!(gateways.of(round(1), node), None);
        gateways.note(round(0), node, None);
        assert_eq!(gateways.of(round(0), node), None);
        for number in 0..=REMEMBERED as u64 {
            gateways.note(round(number), node, url());
        }
        assert_eq!(gateways.of(round(0), node), None);
        assert_eq!(gateways.of(round(1), node), url());
        assert_eq!(gateways.of(round(REMEMBERED as u64), node), url());
    }
}
