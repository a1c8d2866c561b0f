//! The header rules against a second way to say them: Bitcoin Core's, over a list of all headers, with the `bitcoin` crate
//! for the retarget.

use std::vec::Vec;

use bitcoin::consensus::Params;
use proptest::prelude::*;

use super::chain::{Fields, context, extend};
use crate::bitcoin::network::RETARGET_INTERVAL;
use crate::bitcoin::{CompactTarget, Network};

/// What Core keeps of a block here.
#[derive(Debug, Clone, Copy)]
struct Block {
    height: u32,
    time: u32,
    bits: u32,
}

struct Model {
    network: Network,
    params: Params,
    epoch_first: Block,
    blocks: Vec<Block>,
}

impl Model {
    fn tip(&self) -> Block {
        *self.blocks.last().unwrap()
    }

    /// `GetNextWorkRequired`
    fn next_bits(&self, time: u32) -> u32 {
        let tip = self.tip();
        if (tip.height + 1).is_multiple_of(RETARGET_INTERVAL) {
            // BIP94 takes the first block's bits; elsewhere the last one's are the same.
            let from = if self.network == Network::Testnet4 {
                self.epoch_first.bits
            } else {
                tip.bits
            };
            let timespan = i64::from(tip.time) - i64::from(self.epoch_first.time);
            return bitcoin::CompactTarget::from_next_work_required(
                bitcoin::CompactTarget::from_consensus(from),
                timespan.max(0) as u64,
                &self.params,
            )
            .to_consensus();
        }
        if self.params.allow_min_difficulty_blocks {
            if i64::from(time) > i64::from(tip.time) + 2 * 600 {
                return self.network.pow_limit_bits().0;
            }
            // The last block that is no exception, or the epoch's first.
            let limit = self.network.pow_limit_bits().0;
            return self
                .blocks
                .iter()
                .rev()
                .find(|block| block.bits != limit || block.height % RETARGET_INTERVAL == 0)
                .unwrap_or(&self.epoch_first)
                .bits;
        }
        tip.bits
    }

    fn accepts(&self, time: u32, bits: u32) -> bool {
        let mut times: Vec<u32> = self
            .blocks
            .iter()
            .rev()
            .take(11)
            .map(|block| block.time)
            .collect();
        times.sort_unstable();
        let median = times[times.len() / 2];
        let warp = self.network == Network::Testnet4
            && (self.tip().height + 1).is_multiple_of(RETARGET_INTERVAL)
            && i64::from(time) < i64::from(self.tip().time) - 600;
        bits == self.next_bits(time) && time > median && !warp
    }

    fn push(&mut self, time: u32, bits: u32) {
        let block = Block {
            height: self.tip().height + 1,
            time,
            bits,
        };
        self.blocks.push(block);
        if block.height.is_multiple_of(RETARGET_INTERVAL) {
            self.epoch_first = block;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn random_chains_over_a_boundary(
        network in prop::sample::select(&Network::ALL[..]),
        before in 1..25_u32,
        mantissa in 0x8000..0x7f_ffff_u32,
        epoch_days in 1..80_u32,
        steps in prop::collection::vec((-4000..4000_i64, 0..8_u8), 1..50),
    ) {
        let bits = if network == Network::Regtest { 0x207f_ffff } else { 0x1b00_0000 | mantissa };
        let height = 100 * RETARGET_INTERVAL - before;
        let mut chain = context(network, height, bits);
        let start_time = chain.time - epoch_days * 86_400;
        chain.epoch = crate::bitcoin::Epoch::new(
            network,
            chain.epoch.start_height(),
            start_time,
            CompactTarget(bits),
        ).unwrap();
        let mut model = Model {
            network,
            params: Params::new(match network {
                Network::Main => bitcoin::Network::Bitcoin,
                Network::Testnet4 => bitcoin::Network::Testnet4,
                Network::Signet => bitcoin::Network::Signet,
                Network::Regtest => bitcoin::Network::Regtest,
            }),
            epoch_first: Block { height: chain.epoch.start_height(), time: start_time, bits },
            blocks: (0..11)
                .rev()
                .map(|back| Block { height: height - back, time: chain.time - back * 600, bits })
                .collect(),
        };
        for (nonce, (seconds, choice)) in steps.into_iter().enumerate() {
            let time = u32::try_from(i64::from(chain.time) + seconds).unwrap();
            let bits = match choice {
                0 => network.pow_limit_bits().0,
                1 => chain.epoch.bits().0,
                2 => bits,
                _ => model.next_bits(time),
            };
            let fields = Fields {
                version: 4,
                prev_hash: chain.hash,
                time,
                bits: CompactTarget(bits),
                nonce: nonce as u32,
            };
            let accepted = extend(&mut chain, &fields);
            prop_assert_eq!(accepted.is_ok(), model.accepts(time, bits), "{:?}", accepted);
            if accepted.is_ok() {
                model.push(time, bits);
                prop_assert_eq!(chain.epoch.start_height(), model.epoch_first.height);
                prop_assert_eq!(chain.epoch.start_time(), model.epoch_first.time);
                prop_assert_eq!(chain.epoch.bits().0, model.epoch_first.bits);
            }
        }
    }
}
