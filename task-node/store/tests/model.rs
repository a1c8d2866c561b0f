//! Random sequences of operations: SQLite and a few maps in memory must answer alike, also after the store is reopened.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use pow::{ShareDifficulty, Work};
use proptest::prelude::*;
use store::conformance::fixture::{
    START, cid, claim, identity, job_template, mark, miner, round, share_of, stored,
};
use store::{
    Accepted, AuditRecord, BlockOutcome, BlockRecord, BlockStatus, CloseOutcome, Mark, NewShare,
    OpenOutcome, Recorded, RoundRecord, RoundState, Seal, SealOutcome, SetOutcome, ShareStore,
    SqliteStore, StoreError, StoredShare,
};
use work::Claim;

const ROUNDS: u64 = 4;
const SHARES_PER_ROUND: usize = 12;

/// Shares are mined once: several miners, workers, difficulties and jobs for each round.
static SHARES: LazyLock<Vec<NewShare>> = LazyLock::new(|| {
    let mut shares = Vec::new();
    for number in 0..ROUNDS {
        for index in 0..SHARES_PER_ROUND {
            let difficulty = match index % 3 {
                0 => ShareDifficulty::MIN.harder(),
                _ => ShareDifficulty::MIN,
            };
            let claim = Claim {
                difficulty,
                extension: vec![7; index % 2],
                ..claim(round(number), miner(index as u8 % 3))
            };
            let mut share = share_of(&job_template(1 + index as u32 % 2), claim, index as u32);
            share.worker = format!("w{}", index % 2);
            share.at = START.plus(index as u64 * 40);
            shares.push(share);
        }
    }
    shares
});

#[derive(Debug, Clone)]
enum Operation {
    Boot,
    Open(u64, u32),
    Close(u64, u32),
    /// Bundle number and how many shares it leaves out (beyond none: how many too many).
    Seal(u64, u8, i8),
    Share(usize),
    Block(u8),
    Status(u8, BlockStatus),
    Audit(u64, u8, u8, bool),
    Accept(u64, Vec<(u8, u8)>),
    Distribute(u64, Vec<u8>),
    FirstRound(u64),
    Settle(u64, Vec<u8>),
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let status = prop_oneof![
        Just(BlockStatus::Accepted),
        Just(BlockStatus::Stale),
        "[a-z]{1,8}".prop_map(BlockStatus::Rejected),
    ];
    prop_oneof![
        1 => Just(Operation::Boot),
        4 => (0..ROUNDS, 0..100_u32).prop_map(|(r, at)| Operation::Open(r, at)),
        3 => (0..ROUNDS, 0..100_u32).prop_map(|(r, at)| Operation::Close(r, at)),
        2 => (0..ROUNDS, 0..2_u8, -1..2_i8).prop_map(|(r, c, less)| Operation::Seal(r, c, less)),
        20 => (0..ROUNDS as usize * SHARES_PER_ROUND).prop_map(Operation::Share),
        2 => (0..3_u8).prop_map(Operation::Block),
        2 => (0..3_u8, status).prop_map(|(b, s)| Operation::Status(b, s)),
        2 => (0..2_u64, 0..2_u8, 0..2_u8, any::<bool>())
            .prop_map(|(r, n, c, v)| Operation::Audit(r, n, c, v)),
        2 => (0..2_u64, prop::collection::vec((0..3_u8, 0..2_u8), 0..3))
            .prop_map(|(r, set)| Operation::Accept(r, set)),
        2 => (0..2_u64, prop::collection::vec(any::<u8>(), 0..2))
            .prop_map(|(r, body)| Operation::Distribute(r, body)),
        1 => (0..2_u64).prop_map(Operation::FirstRound),
        3 => (0..ROUNDS, prop::collection::vec(any::<bool>().prop_map(u8::from), 0..2))
            .prop_map(|(r, body)| Operation::Settle(r, body)),
        1 => Just(Operation::Reopen),
    ]
}

/// What a store is, without a disk.
#[derive(Default)]
struct Model {
    boots: u32,
    rounds: BTreeMap<u64, (Mark, RoundState, Vec<StoredShare>)>,
    blocks: Vec<BlockRecord>,
    audits: BTreeMap<(u64, u8, u8), AuditRecord>,
    accepted: BTreeMap<u64, Vec<Accepted>>,
    distributions: BTreeMap<u64, Vec<u8>>,
    first_round: Option<u64>,
    settlements: BTreeMap<u64, Vec<u8>>,
}

fn work(shares: &[StoredShare]) -> Work {
    shares.iter().fold(Work::ZERO, |sum, share| {
        sum.checked_add(share.claim.difficulty.work()).unwrap()
    })
}

/// Sets a value; says what that did.
fn set<V: PartialEq>(map: &mut BTreeMap<u64, V>, key: u64, value: V) -> SetOutcome {
    let outcome = match map.get(&key) {
        None => SetOutcome::New,
        Some(before) if *before == value => SetOutcome::Unchanged,
        Some(_) => SetOutcome::Replaced,
    };
    map.insert(key, value);
    outcome
}

impl Model {
    fn open(&mut self, number: u64, mark: Mark) -> OpenOutcome {
        match self.rounds.get(&number) {
            Some((_, RoundState::Open, _)) => return OpenOutcome::AlreadyOpen,
            Some(_) => return OpenOutcome::Finished,
            None => {}
        }
        match self.rounds.keys().next_back() {
            Some(&current) if current > number => OpenOutcome::Behind {
                current: round(current),
            },
            _ => {
                let new = (mark, RoundState::Open, Vec::new());
                self.rounds.insert(number, new);
                OpenOutcome::Opened
            }
        }
    }

    fn close(&mut self, number: u64, mark: Mark) -> CloseOutcome {
        match self.rounds.get_mut(&number) {
            None => CloseOutcome::NotOpened,
            Some((_, state @ RoundState::Open, _)) => {
                *state = RoundState::Closed(mark);
                CloseOutcome::Closed
            }
            Some(_) => CloseOutcome::AlreadyClosed,
        }
    }

    /// `None` where the store must refuse.
    fn seal(&mut self, number: u64, seal: Seal) -> Option<SealOutcome> {
        let (_, state, shares) = self.rounds.get_mut(&number)?;
        match *state {
            RoundState::Open => None,
            RoundState::Sealed { seal: before, .. } => before
                .is_same_bundle(&seal)
                .then_some(SealOutcome::AlreadySealed),
            RoundState::Closed(closed) => {
                if seal.shares > shares.len() as u64 || seal.work > work(shares) {
                    return None;
                }
                *state = RoundState::Sealed { closed, seal };
                Some(SealOutcome::Sealed)
            }
        }
    }

    /// `None` where the store must refuse.
    fn share(&mut self, new: &NewShare) -> Option<Recorded> {
        let number = new.share.job().claim().round.get();
        let (_, state, shares) = self.rounds.get_mut(&number)?;
        Some(if shares.iter().any(|s| s.hash == new.share.hash()) {
            Recorded::Duplicate
        } else if *state == RoundState::Open {
            shares.push(stored(new));
            Recorded::Stored
        } else {
            Recorded::RoundClosed
        })
    }

    /// `None` where the store must refuse.
    fn first_round(&mut self, number: u64) -> Option<SetOutcome> {
        let outcome = match self.first_round {
            None => SetOutcome::New,
            Some(before) if before == number => SetOutcome::Unchanged,
            Some(_) if !self.settlements.is_empty() => return None,
            Some(_) => SetOutcome::Replaced,
        };
        self.first_round = Some(number);
        Some(outcome)
    }

    /// `None` where the store must refuse.
    fn settle(&mut self, number: u64, body: &[u8]) -> Option<SetOutcome> {
        if let Some(before) = self.settlements.get(&number) {
            return (before == body).then_some(SetOutcome::Unchanged);
        }
        if let Some((newest, _)) = self.settlements.last_key_value()
            && newest + 1 != number
        {
            return None;
        }
        self.settlements.insert(number, body.to_vec());
        Some(SetOutcome::New)
    }

    fn round_record(&self, number: u64) -> Option<RoundRecord> {
        let (opened, state, shares) = self.rounds.get(&number)?;
        Some(RoundRecord {
            round: round(number),
            opened: *opened,
            state: *state,
            shares: shares.len() as u64,
            work: work(shares),
        })
    }
}

struct Pair {
    path: PathBuf,
    store: Option<SqliteStore>,
    model: Model,
}

impl Pair {
    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }

    async fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Boot => {
                self.model.boots += 1;
                assert_eq!(self.store().next_boot().await.unwrap(), self.model.boots);
            }
            Operation::Open(number, at) => {
                let expected = self.model.open(number, mark(at));
                let found = self.store().open_round(round(number), mark(at)).await;
                assert_eq!(found.unwrap(), expected);
            }
            Operation::Close(number, at) => {
                let expected = self.model.close(number, mark(at));
                let found = self.store().close_round(round(number), mark(at)).await;
                assert_eq!(found.unwrap(), expected);
            }
            Operation::Seal(number, bundle, less) => {
                let held = self.model.round_record(number);
                let seal = Seal {
                    cid: cid(bundle),
                    root: [bundle; 32],
                    shares: held
                        .map_or(0, |r| r.shares)
                        .saturating_add_signed(-i64::from(less)),
                    work: held.map_or(Work::ZERO, |r| r.work),
                    at: START,
                };
                let expected = self.model.seal(number, seal);
                let found = self.store().seal_round(round(number), seal).await;
                assert_eq!(found.ok(), expected);
            }
            Operation::Share(index) => {
                let expected = self.model.share(&SHARES[index]);
                let found = self.store().record_share(SHARES[index].clone()).await;
                assert_eq!(found.ok(), expected);
            }
            Operation::Block(number) => {
                let block = BlockRecord {
                    hash: BlockHash::from_byte_array([number; 32]),
                    height: number.into(),
                    round: round(1),
                    miner: miner(1),
                    worker: "w".to_owned(),
                    value: Amount::from_sat(number.into()),
                    at: START,
                    status: BlockStatus::Submitted,
                };
                let known = self.model.blocks.iter().any(|b| b.hash == block.hash);
                let found = self.store().record_block(block.clone()).await.unwrap();
                if known {
                    assert_eq!(found, BlockOutcome::Known);
                } else {
                    assert_eq!(found, BlockOutcome::Recorded);
                    self.model.blocks.insert(0, block);
                }
            }
            Operation::Status(number, status) => {
                let hash = BlockHash::from_byte_array([number; 32]);
                let found = self.store().set_block_status(hash, status.clone()).await;
                match self.model.blocks.iter_mut().find(|b| b.hash == hash) {
                    Some(block) => {
                        found.unwrap();
                        block.status = status;
                    }
                    None => assert!(matches!(found, Err(StoreError::UnknownBlock(_)))),
                }
            }
            Operation::Audit(number, node, bundle, valid) => {
                let audit = AuditRecord {
                    round: round(number),
                    node: miner(node),
                    cid: cid(bundle),
                    valid,
                    reason: (!valid).then(|| "why".to_owned()),
                    at: START,
                };
                self.store().record_audit(audit.clone()).await.unwrap();
                self.model.audits.insert((number, node, bundle), audit);
            }
            Operation::Accept(number, set_of) => {
                let mut accepted: Vec<_> = set_of
                    .iter()
                    .map(|&(node, bundle)| Accepted {
                        node: miner(node),
                        cid: cid(bundle),
                    })
                    .collect();
                let found = self
                    .store()
                    .set_accepted(round(number), accepted.clone())
                    .await;
                accepted.sort_unstable();
                if accepted.windows(2).any(|pair| pair[0].node == pair[1].node) {
                    assert!(matches!(found, Err(StoreError::AcceptedTwice(_))));
                } else {
                    let expected = set(&mut self.model.accepted, number, accepted);
                    assert_eq!(found.unwrap(), expected);
                }
            }
            Operation::Distribute(number, body) => {
                let found = self
                    .store()
                    .set_distribution(round(number), body.clone())
                    .await;
                let expected = set(&mut self.model.distributions, number, body);
                assert_eq!(found.unwrap(), expected);
            }
            Operation::FirstRound(number) => {
                let expected = self.model.first_round(number);
                let found = self.store().set_first_round(round(number)).await;
                assert_eq!(found.ok(), expected);
            }
            Operation::Settle(number, body) => {
                let expected = self.model.settle(number, &body);
                let found = self.store().set_settlement(round(number), body).await;
                assert_eq!(found.ok(), expected);
            }
            Operation::Reopen => {
                self.store = None;
                self.store = Some(SqliteStore::open(&self.path, identity()).unwrap());
            }
        }
    }

    async fn compare(&self) {
        let (store, model) = (self.store(), &self.model);
        let mut records = Vec::new();
        let mut everything = Vec::new();
        for number in 0..ROUNDS {
            let record = model.round_record(number);
            assert_eq!(store.round(round(number)).await.unwrap(), record);
            records.extend(record);

            let mut found = store.round_shares(round(number)).await.unwrap().shares;
            let mut expected = model
                .rounds
                .get(&number)
                .map_or(Vec::new(), |r| r.2.clone());
            found.sort_unstable_by_key(|share| share.hash);
            expected.sort_unstable_by_key(|share| share.hash);
            assert_eq!(found, expected);
            everything.extend(expected);

            let accepted = model.accepted.get(&number).cloned();
            assert_eq!(store.accepted(round(number)).await.unwrap(), accepted);
            let distribution = model.distributions.get(&number).cloned();
            assert_eq!(
                store.distribution(round(number)).await.unwrap(),
                distribution
            );
            let settlement = model.settlements.get(&number).cloned();
            assert_eq!(store.settlement(round(number)).await.unwrap(), settlement);
            let audits: Vec<_> = model
                .audits
                .iter()
                .filter(|(key, _)| key.0 == number)
                .map(|(_, audit)| audit.clone())
                .collect();
            assert_eq!(store.audits(round(number)).await.unwrap(), audits);
        }
        records.reverse();
        assert_eq!(store.rounds(10).await.unwrap(), records);
        assert_eq!(
            store.latest_round().await.unwrap(),
            records.first().copied()
        );
        assert_eq!(store.blocks(10).await.unwrap(), model.blocks);
        let newest = model.settlements.last_key_value().map(|(at, _)| round(*at));
        assert_eq!(store.newest_settled().await.unwrap(), newest);
        let first = model.first_round.map(round);
        assert_eq!(store.first_round().await.unwrap(), first);

        for stats in store.worker_stats(START, 100).await.unwrap() {
            let theirs = |share: &StoredShare| {
                share.claim.miner == stats.miner && *share.worker == *stats.worker
            };
            let (theirs, others): (Vec<_>, Vec<_>) = everything.into_iter().partition(theirs);
            assert_eq!(stats.shares, theirs.len() as u64);
            assert_eq!(stats.work, work(&theirs));
            assert_eq!(Some(stats.last_share), theirs.iter().map(|s| s.at).max());
            everything = others;
        }
        assert_eq!(everything, [], "every share is in the statistics");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_is_its_model(operations in prop::collection::vec(operation(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.sqlite");
        let mut pair = Pair {
            store: Some(SqliteStore::open(&path, identity()).unwrap()),
            path,
            model: Model::default(),
        };
        runtime.block_on(async {
            for operation in operations {
                pair.apply(operation).await;
            }
            pair.compare().await;
            pair.apply(Operation::Reopen).await;
            pair.compare().await;
        });
    }
}
