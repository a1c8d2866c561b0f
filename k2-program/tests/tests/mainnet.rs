//! Real blocks of the main network: headers through retargets, and a coinbase. Where they come from:
//! `k2-program/interface/tests/vectors`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash as _;
use k2_interface::PoolError;
use k2_interface::bitcoin::{CoinbaseProof, Network, linked};
use k2_interface::instruction::Initialize;
use k2_interface::state::{Config, EpochSlot, Head, Kind, PackedScript, RING, Relay, RelayEntry};
use k2_tests::bitcoin::{Proof, work};
use k2_tests::minting::MINT_COINBASE_UNITS;
use k2_tests::{World, scripts};
use serde_json::Value;
use solana_account::Account;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// What ten headers may cost in Solana 1.14 where a retarget is among them.
const TEN_HEADERS: u64 = 15_000;

/// A run of consecutive headers.
struct Run {
    first_height: u32,
    /// The first header of the first one's epoch.
    epoch_first: Header,
    headers: Vec<Header>,
    bytes: Vec<[u8; 80]>,
}

impl Run {
    /// The run that has the block at this height.
    fn with(height: u32) -> Self {
        let vectors: Value =
            serde_json::from_str(include_str!("../../interface/tests/vectors/headers.json"))
                .unwrap();
        let runs = vectors.as_array().unwrap().iter().map(Self::read);
        let mut found = runs.filter(|run| (run.first_height..=run.last()).contains(&height));
        found.next().expect("a run has it")
    }

    fn read(vector: &Value) -> Self {
        let hex = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
        let bytes = vector["headers"].as_array().unwrap().iter().map(hex);
        let bytes: Vec<[u8; 80]> = bytes.map(|bytes| bytes.try_into().unwrap()).collect();
        Self {
            first_height: u32::try_from(vector["first_height"].as_u64().unwrap()).unwrap(),
            epoch_first: deserialize(&hex(&vector["epoch_first"])).unwrap(),
            headers: bytes
                .iter()
                .map(|bytes| deserialize(bytes).unwrap())
                .collect(),
            bytes,
        }
    }

    fn last(&self) -> u32 {
        self.first_height + self.headers.len() as u32 - 1
    }

    fn header(&self, height: u32) -> &Header {
        &self.headers[(height - self.first_height) as usize]
    }

    fn bytes(&self, heights: std::ops::RangeInclusive<u32>) -> Vec<u8> {
        let place = |height: u32| (height - self.first_height) as usize;
        self.bytes[place(*heights.start())..=place(*heights.end())].concat()
    }

    /// The epoch of this block, as the relay keeps it.
    fn epoch(&self, height: u32) -> EpochSlot {
        let start = height - height % 2_016;
        let first = if start < self.first_height {
            &self.epoch_first
        } else {
            self.header(start)
        };
        EpochSlot {
            start_height: start.into(),
            start_time: first.time.into(),
            bits: first.bits.to_consensus().into(),
            work: work(first).into(),
        }
    }
}

fn entry(header: &Header, chain_work: u128) -> RelayEntry {
    RelayEntry {
        hash: header.block_hash().to_byte_array(),
        chain_work: chain_work.into(),
        time: header.time.into(),
    }
}

/// A pool on the main network, at a time when all its blocks are past.
fn pool(story: &str, coinbase_script: PackedScript) -> World {
    let mut k2 = World::deployed(story);
    k2.k2.set_clock(1_000, 1_800_000_000);
    let rules = Initialize {
        network: Network::Main.into(),
        mint_horizon: 2_016,
        redeem_expiry_blocks: 144,
        challenge_slots: 9_000,
        custody_delay_slots: 216_000,
        unbonding_slots: 216_000,
        coinbase_script,
        ..k2.rules()
    };
    let initialize = k2.initialize(rules);
    k2.send("the pool is set up", initialize).must_succeed();
    k2
}

/// Work of the chain before the first block of a run: some.
const WORK_BEFORE: u128 = 1 << 80;

/// A pool whose relay's tip is the first block of the run. The ten blocks before it are not among the vectors; nothing is
/// asked of them but their times.
fn relayed(story: &str, run: &Run) -> World {
    let mut k2 = pool(story, scripts::coinbase());
    let tip = run.first_height;
    let mut relay = Relay::new_zeroed();
    relay.head = Head::new(Kind::Relay, k2.bump(&[k2_interface::pda::RELAY]));
    relay.network = Network::Main.into();
    relay.tip_height = tip.into();
    relay.oldest_height = (tip - 10).into();
    let first = run.header(tip);
    relay.ring[tip as usize % RING] = entry(first, WORK_BEFORE);
    for below in 1..=10 {
        relay.ring[(tip - below) as usize % RING].time = (first.time - 600 * below).into();
    }
    relay.epochs[(tip / 2_016 % 3) as usize] = run.epoch(tip);
    put(&mut k2, &relay);
    k2
}

/// Puts a relay in place.
fn put(k2: &mut World, relay: &Relay) {
    let data = relay.as_bytes().to_vec();
    let account = Account {
        lamports: k2.k2.rent(data.len()),
        data,
        owner: k2.program,
        ..Account::default()
    };
    k2.k2.set_account(k2.relay_key(), account);
}

/// The relay holds the run from its first block up to this height.
#[track_caller]
fn must_hold(k2: &World, run: &Run, tip: u32) {
    let relay = k2.relay();
    assert_eq!(relay.tip_height.get(), tip);
    let mut chain_work = if run.first_height == 0 {
        0
    } else {
        WORK_BEFORE
    };
    for height in run.first_height..=tip {
        let header = run.header(height);
        if height > run.first_height || height == 0 {
            chain_work += work(header);
        }
        assert_eq!(
            relay.entry(height),
            Some(&entry(header, chain_work)),
            "{height}"
        );
    }
    assert_eq!(relay.epoch(tip), Some(&run.epoch(tip)));
    let epochs = relay.epochs.iter().filter(|slot| slot.bits.get() != 0);
    assert!(epochs.count() <= 2);
}

#[test]
fn from_genesis_on() {
    let run = Run::with(0);
    let mut k2 = pool("mainnet/genesis", scripts::coinbase());
    let args = k2_interface::instruction::InitializeRelay {
        height: 2,
        epoch_start_time: run.header(0).time,
        epoch_bits: 0x1d00_ffff,
        chain_work: 3 * work(run.header(0)),
    };
    let headers = linked::encode(&run.bytes[..3]);
    let mut swapped = headers.clone();
    swapped[79] ^= 1;
    let other = k2.initialize_relay(args, &swapped);
    k2.must_refuse("another genesis", other, PoolError::NotEnoughWork);
    let initialize = k2.initialize_relay(args, &headers);
    k2.send("the relay begins", initialize).must_succeed();
    must_hold(&k2, &run, 2);
    let submit = k2.submit_headers(&run.bytes(3..=run.last()));
    k2.send("and goes on", submit).must_succeed();
    must_hold(&k2, &run, run.last());
}

#[test]
fn a_checkpoint_across_a_retarget() {
    // Eleven headers, block 437,472 = 217 * 2,016 being the seventh.
    let run = Run::with(437_472);
    let tip = run.first_height + 10;
    let mut k2 = pool("mainnet/checkpoint", scripts::coinbase());
    let args = k2_interface::instruction::InitializeRelay {
        height: tip,
        epoch_start_time: run.header(437_472).time,
        epoch_bits: run.header(437_472).bits.to_consensus(),
        chain_work: WORK_BEFORE,
    };
    let headers = linked::encode(&run.bytes[..11]);
    let mut other = args;
    other.epoch_bits = run.header(437_471).bits.to_consensus();
    let other = k2.initialize_relay(other, &headers);
    k2.must_refuse("the epoch before", other, PoolError::BadCheckpoint);
    let initialize = k2.initialize_relay(args, &headers);
    k2.send("the relay begins", initialize).must_succeed();
    let submit = k2.submit_headers(&run.bytes(tip + 1..=run.last()));
    k2.send("and goes on", submit).must_succeed();
    let relay = k2.relay();
    assert_eq!(relay.tip_height.get(), run.last());
    assert_eq!(relay.epoch(run.last()), Some(&run.epoch(run.last())));
    let added: u128 = (tip + 1..=run.last())
        .map(|height| work(run.header(height)))
        .sum();
    let tip = relay.entry(run.last()).unwrap();
    assert_eq!(tip.chain_work.get(), WORK_BEFORE + added);
}

/// 32,256: the first retarget that changed anything. 437,472 and 554,400: up and down by a little and a lot. 866,880: of 2024.
#[test]
fn headers_through_retargets() {
    for first_of_epoch in [32_256, 437_472, 554_400, 866_880] {
        let run = Run::with(first_of_epoch);
        let mut k2 = relayed(&format!("mainnet/retarget_at_{first_of_epoch}"), &run);
        let mut tip = run.first_height;
        let mut batches = vec![(first_of_epoch - 1).max(tip)];
        if batches[0] == tip {
            batches.clear();
        }
        while *batches.last().unwrap_or(&tip) < run.last() {
            let from = *batches.last().unwrap_or(&tip);
            batches.push(run.last().min(from + 10));
        }
        for last in batches {
            let submit = k2.submit_headers(&run.bytes(tip + 1..=last));
            k2.send_within(TEN_HEADERS, "real headers", submit)
                .must_succeed();
            must_hold(&k2, &run, last);
            tip = last;
        }
        assert_ne!(run.epoch(tip).bits, run.epoch(first_of_epoch - 1).bits);
    }
}

#[test]
fn a_retarget_in_the_middle_of_a_batch() {
    let run = Run::with(554_400);
    let mut k2 = relayed("mainnet/retarget_in_a_batch", &run);
    let from = run.first_height + 1;
    for last in [from + 4, from + 14, run.last()] {
        let tip = k2.relay().tip_height.get();
        let submit = k2.submit_headers(&run.bytes(tip + 1..=last));
        k2.send_within(TEN_HEADERS, "real headers", submit)
            .must_succeed();
        must_hold(&k2, &run, last);
    }
}

/// Every bit of an epoch's first header.
#[test]
fn any_bit_of_a_header_matters() {
    for first_of_epoch in [32_256, 866_880] {
        let run = Run::with(first_of_epoch);
        assert_eq!(run.first_height, first_of_epoch - 1);
        let mut k2 = relayed(&format!("mainnet/bits_of_{first_of_epoch}"), &run);
        let header = run.bytes(first_of_epoch..=first_of_epoch);
        for bit in 0..8 * header.len() {
            let mut header = header.clone();
            header[bit / 8] ^= 1 << (bit % 8);
            let error = match bit / 8 {
                4..36 => PoolError::UnknownParent,
                72..76 => PoolError::WrongBits,
                _ => PoolError::NotEnoughWork,
            };
            let submit = k2.submit_headers(&header);
            k2.must_refuse("a bit is flipped", submit, error);
        }
        let submit = k2.submit_headers(&header);
        k2.send("as it was mined", submit).must_succeed();
        must_hold(&k2, &run, first_of_epoch);
    }
}

/// The targets at which somebody might wish the retarget to end.
#[test]
fn wrong_bits_at_a_retarget() {
    for first_of_epoch in [32_256, 866_880] {
        let run = Run::with(first_of_epoch);
        let mut k2 = relayed(&format!("mainnet/wrong_bits_at_{first_of_epoch}"), &run);
        let right = run.header(first_of_epoch).bits.to_consensus();
        let before = run.header(first_of_epoch - 1).bits.to_consensus();
        for bits in [
            before,
            right + 1,
            right - 1,
            0x1d00_ffff,
            0x207f_ffff,
            0,
            u32::MAX,
        ] {
            if bits == right {
                continue;
            }
            let mut header = *run.header(first_of_epoch);
            header.bits = bitcoin::CompactTarget::from_consensus(bits);
            let submit = k2.submit_headers(&bitcoin::consensus::serialize(&header));
            k2.must_refuse("other bits", submit, PoolError::WrongBits);
        }
    }
}

// ---- coinbases -------------------------------------------------------------------------------------------------------

/// A real coinbase's proof, and the script of the output that its miner was paid by.
fn coinbase(height: u32) -> (Proof, PackedScript, u64) {
    let vectors: Value =
        serde_json::from_str(include_str!("../../interface/tests/vectors/proofs.json")).unwrap();
    let vector = vectors
        .as_array()
        .unwrap()
        .iter()
        .find(|vector| vector["height"] == height && vector.get("transaction").is_none())
        .expect("there is one");
    let hex = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let siblings: Vec<[u8; 32]> = vector["coinbase_siblings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sibling| hex(sibling).try_into().unwrap())
        .collect();
    let raw = hex(&vector["coinbase"]);
    let header = hex(&vector["header"]).try_into().unwrap();
    let bytes = CoinbaseProof::encode(&header, &raw, &siblings).unwrap();
    let transaction: bitcoin::Transaction = deserialize(&raw).unwrap();
    let output = transaction
        .output
        .iter()
        .position(|output| output.value.to_sat() > 0);
    let vout = output.unwrap();
    let paid = &transaction.output[vout];
    let script = k2_interface::bitcoin::ScriptPubkey::parse(paid.script_pubkey.as_bytes()).unwrap();
    let proof = Proof::new(height, &transaction, bytes).vout(vout as u32);
    (proof, script.to_packed(), paid.value.to_sat())
}

/// A pool of this miner's, whose relay has the block with 100 confirmations.
fn paid_by(story: &str, proof: &Proof, script: PackedScript) -> World {
    let mut k2 = pool(story, script);
    let header: Header = deserialize(&proof.bytes[..80]).unwrap();
    let tip = proof.height + 99;
    let mut relay = Relay::new_zeroed();
    relay.head = Head::new(Kind::Relay, k2.bump(&[k2_interface::pda::RELAY]));
    relay.network = Network::Main.into();
    relay.tip_height = tip.into();
    relay.oldest_height = (tip - RING as u32 + 1).into();
    relay.ring[proof.height as usize % RING] = entry(&header, WORK_BEFORE);
    put(&mut k2, &relay);
    k2
}

#[test]
fn real_coinbases_are_minted() {
    for height in [702_861, 881_423] {
        let (proof, script, sats) = coinbase(height);
        let mut k2 = paid_by(&format!("mainnet/coinbase_{height}"), &proof, script);
        let before: Config = k2.config();
        let proof = proof.in_buffer(0);
        k2.fill_buffer(0, &proof.bytes);
        let mint = k2.mint_coinbase(&proof);
        k2.send_within(MINT_COINBASE_UNITS, "a real coinbase", mint.clone())
            .must_succeed();
        k2.must_have_minted(&before, sats);
        k2.must_be_recorded(&proof, sats);
        k2.must_refuse("again", mint, PoolError::AlreadyUsed);
    }
}

/// One bit of every byte; all of them are flipped in the interface's own tests, where it costs less.
#[test]
fn any_bit_of_a_real_coinbase_matters() {
    let (proof, script, sats) = coinbase(881_423);
    let mut k2 = paid_by("mainnet/coinbase_bits", &proof, script);
    let before = k2.config();
    for at in 0..proof.bytes.len() {
        let mut bytes = proof.bytes.clone();
        bytes[at] ^= 1 << (5 * at % 8);
        let mint = k2.mint_coinbase(&proof.clone().bytes(bytes));
        let sent = k2.send("a bit is flipped", mint);
        assert!(sent.code().is_some(), "byte {at}");
    }
    let mint = k2.mint_coinbase(&proof);
    k2.send("as it was mined", mint).must_succeed();
    k2.must_have_minted(&before, sats);
}
