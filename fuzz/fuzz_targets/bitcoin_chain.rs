//! Header after header over an epoch's boundary: accepted exactly where Bitcoin Core's rules, said a second time over a
//! list of blocks, accept it.
#![no_main]

use arbitrary::Arbitrary;
use bitcoin::CompactTarget as BitcoinCompact;
use bitcoin::consensus::Params;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use k2_interface::bitcoin::network::RETARGET_INTERVAL;
use k2_interface::bitcoin::{CompactTarget, Context, Epoch, Hash, Header, Network, TimeWindow};
use libfuzzer_sys::fuzz_target;

const START: u32 = 1_700_000_000;

#[derive(Debug, Arbitrary)]
enum Bits {
    Right,
    Limit,
    Epochs,
    Any(u32),
}

#[derive(Debug, Arbitrary)]
struct Input {
    network: u8,
    before_boundary: u8,
    bits: u32,
    epoch_seconds: u32,
    steps: Vec<(i16, Bits)>,
}

#[derive(Clone, Copy)]
struct Block {
    height: u32,
    time: u32,
    bits: u32,
}

/// Under this hash function every header meets its target: the rules about work are fuzzed elsewhere.
fn lucky(parts: &[&[u8]]) -> Hash {
    let mut engine = sha256::Hash::engine();
    parts.iter().for_each(|part| engine.input(part));
    let mut hash = sha256::Hash::from_engine(engine).to_byte_array();
    hash[8..].fill(0);
    hash
}

/// `GetNextWorkRequired`
fn next_bits(network: Network, params: &Params, first: Block, blocks: &[Block], time: u32) -> u32 {
    let tip = blocks[blocks.len() - 1];
    let limit = network.pow_limit_bits().0;
    if (tip.height + 1).is_multiple_of(RETARGET_INTERVAL) {
        let from = if network == Network::Testnet4 {
            first.bits
        } else {
            tip.bits
        };
        let timespan = u64::from(tip.time.saturating_sub(first.time));
        BitcoinCompact::from_next_work_required(
            BitcoinCompact::from_consensus(from),
            timespan,
            params,
        )
        .to_consensus()
    } else if !params.allow_min_difficulty_blocks {
        tip.bits
    } else if u64::from(time) > u64::from(tip.time) + 1200 {
        limit
    } else {
        let no_exception =
            |block: &&Block| block.bits != limit || block.height.is_multiple_of(RETARGET_INTERVAL);
        blocks
            .iter()
            .rev()
            .find(no_exception)
            .unwrap_or(&first)
            .bits
    }
}

fuzz_target!(|input: Input| {
    let network = Network::ALL[usize::from(input.network % 4)];
    let params = Params::new(
        [
            bitcoin::Network::Bitcoin,
            bitcoin::Network::Testnet4,
            bitcoin::Network::Signet,
            bitcoin::Network::Regtest,
        ][usize::from(input.network % 4)],
    );
    let bits = if network == Network::Regtest {
        network.pow_limit_bits().0
    } else {
        input.bits
    };
    let height = 200 * RETARGET_INTERVAL - 1 - u32::from(input.before_boundary % 32);
    let start_height = height - height % RETARGET_INTERVAL;
    let start_time = START - input.epoch_seconds % (200 * 86_400);
    let Ok(epoch) = Epoch::new(network, start_height, start_time, CompactTarget(bits)) else {
        return;
    };
    // Below this the hash function above is not lucky enough.
    if epoch.work() >> 100 != 0 {
        return;
    }
    // A target has several compact forms; the one in a header is the shortest.
    if epoch.target().to_compact().0 != bits {
        return;
    }
    let mut first = Block {
        height: start_height,
        time: start_time,
        bits,
    };
    let mut blocks: Vec<Block> = (0..11)
        .rev()
        .map(|back| Block {
            height: height - back,
            time: START - 600 * back,
            bits,
        })
        .collect();
    let mut context = Context {
        network,
        height,
        hash: [7; 32],
        time: START,
        chain_work: 0,
        epoch,
        times: TimeWindow::from_oldest(blocks.iter().map(|block| block.time)).unwrap(),
    };
    for (seconds, choice) in input.steps {
        let tip = blocks[blocks.len() - 1];
        let Some(time) = tip.time.checked_add_signed(seconds.into()) else {
            return;
        };
        let expected = next_bits(network, &params, first, &blocks, time);
        let bits = match choice {
            Bits::Right => expected,
            Bits::Limit => network.pow_limit_bits().0,
            Bits::Epochs => context.epoch.bits().0,
            Bits::Any(bits) => bits,
        };
        let mut header = [0; 80];
        header[0] = 4;
        header[4..36].copy_from_slice(&context.hash);
        header[68..72].copy_from_slice(&time.to_le_bytes());
        header[72..76].copy_from_slice(&bits.to_le_bytes());
        let mut times: Vec<u32> = blocks
            .iter()
            .rev()
            .take(11)
            .map(|block| block.time)
            .collect();
        times.sort_unstable();
        let boundary = (tip.height + 1).is_multiple_of(RETARGET_INTERVAL);
        let warped =
            network == Network::Testnet4 && boundary && i64::from(time) < i64::from(tip.time) - 600;
        let valid = bits == expected && time > times[times.len() / 2] && !warped;

        let before = context;
        let result = context.extend(&Header::parse(&header).unwrap(), i64::from(u32::MAX), lucky);
        assert_eq!(result.is_ok(), valid, "{result:?}");
        match result {
            Err(_) => assert_eq!(context, before),
            Ok(accepted) => {
                let block = Block {
                    height: tip.height + 1,
                    time,
                    bits,
                };
                blocks.push(block);
                if boundary {
                    first = block;
                }
                let work =
                    bitcoin::Target::from_compact(BitcoinCompact::from_consensus(bits)).to_work();
                let work = u128::from_be_bytes(work.to_be_bytes()[16..].try_into().unwrap());
                assert_eq!(accepted.chain_work, before.chain_work + work);
                assert_eq!(
                    (accepted.height, accepted.new_epoch),
                    (block.height, boundary)
                );
                assert_eq!(context.epoch.start_height(), first.height);
                assert_eq!(context.epoch.start_time(), first.time);
                assert_eq!(context.epoch.bits().0, first.bits);
            }
        }
    }
});
