//! Against a cluster in memory, with its own clock, blocks every 400 ms, blockhashes that expire, and every vice a real one
//! has: it drops transactions, lets them land late, lags, fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use k2_interface::instruction::InstructionKind;
use k2_interface::{K2Address, PoolError};
use proptest::prelude::*;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError;
use solana_signature::Signature;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;
use tokio::time::Instant;

use super::{Price, SendError, SendOptions, Sender};
use crate::address::pubkey;
use crate::error::K2Error;
use crate::k2::{
    AccountData, AccountFilter, At, Commitment, EpochInfo, Fault, K2, LatestBlockhash,
    SignatureStatus, Simulation,
};
use crate::keypair::Keypair;
use crate::transaction::{Budget, Draft, MAX_UNITS};

const PROGRAM: K2Address = K2Address::from_bytes([5; 32]);
const BLOCK: Duration = Duration::from_millis(400);
/// Blocks a blockhash is good for.
const VALID: u64 = 150;
const FINAL: u64 = 32;
/// Blocks by which a fork that will be dropped is ahead of the chain that stays.
const LEAD: u64 = 40;
const GENESIS: u64 = 1000;

/// What happens to a broadcast, a status look-up, or a question.
#[derive(Debug, Clone, Default)]
struct Vices {
    /// For each broadcast: after how many blocks it lands; `None`: it is dropped. Repeated for ever.
    broadcasts: Vec<Option<u64>>,
    /// For each question about the height: by how many blocks the node that answers is behind. Repeated for ever.
    height_lags: Vec<u64>,
    /// The same for each question about a status: another node may answer it.
    status_lags: Vec<u64>,
    /// For each question: whether it fails.
    failures: Vec<bool>,
    /// Transactions fail in their block.
    fault: Option<TransactionError>,
    /// The simulation fails.
    simulated: Option<TransactionError>,
    /// The node keeps no history.
    no_history: bool,
    /// What the simulation says it took.
    units: Option<u64>,
    /// What others paid.
    fees: Option<Vec<u64>>,
}

#[derive(Debug)]
struct Cluster {
    start: Instant,
    vices: Vices,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    broadcasts: usize,
    questions: usize,
    /// Signature -> height of its block.
    landed: BTreeMap<Signature, u64>,
    /// Every transaction ever seen.
    seen: BTreeMap<Signature, Transaction>,
    /// The finalized height when each was first seen.
    first_seen: BTreeMap<Signature, u64>,
}

impl Cluster {
    fn new(vices: Vices) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            vices,
            state: Mutex::default(),
        })
    }

    fn height(&self) -> u64 {
        GENESIS + (self.start.elapsed().as_millis() / BLOCK.as_millis()) as u64
    }

    /// The height a node answers from.
    fn ask(&self, lags: &[u64]) -> Result<u64, K2Error> {
        let mut state = self.state.lock().unwrap();
        let number = state.questions;
        state.questions += 1;
        let failures = &self.vices.failures;
        if failures.get(number % failures.len().max(1)) == Some(&true) {
            return Err(K2Error::Unavailable {
                node: "model".into(),
                method: "any",
                reason: "busy".into(),
            });
        }
        let lag = lags.get(number % lags.len().max(1));
        Ok(self.height() - lag.copied().unwrap_or(0))
    }

    fn blockhash(height: u64) -> Hash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&height.to_le_bytes());
        Hash::new_from_array(bytes)
    }

    fn landed(&self) -> usize {
        self.state.lock().unwrap().landed.len()
    }

    fn signed(&self) -> usize {
        self.state.lock().unwrap().seen.len()
    }
}

#[async_trait]
impl K2 for Cluster {
    fn name(&self) -> &str {
        "model"
    }

    async fn accounts(
        &self,
        addresses: &[K2Address],
        _: Commitment,
    ) -> Result<At<Vec<Option<AccountData>>>, K2Error> {
        Ok(At {
            slot: self.height(),
            value: vec![None; addresses.len()],
        })
    }

    async fn program_accounts(
        &self,
        _: &K2Address,
        _: &[AccountFilter],
        _: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error> {
        Ok(vec![])
    }

    async fn latest_blockhash(&self, _: Commitment) -> Result<LatestBlockhash, K2Error> {
        // Retried within one call by the real client.
        let height = self.height() - 1;
        Ok(LatestBlockhash {
            hash: Self::blockhash(height),
            last_valid_block_height: height + VALID,
        })
    }

    async fn epoch_info(&self, commitment: Commitment) -> Result<EpochInfo, K2Error> {
        let height = self.ask(&self.vices.height_lags)?;
        let height = match commitment {
            // A fork that will lose may well be longer by then.
            Commitment::Processed => height + LEAD,
            Commitment::Confirmed => height - 1,
            Commitment::Finalized => height - FINAL,
        };
        Ok(EpochInfo {
            slot: height,
            block_height: height,
            epoch: 0,
        })
    }

    async fn balance(&self, _: &K2Address, _: Commitment) -> Result<u64, K2Error> {
        Ok(0)
    }

    async fn minimum_balance(&self, _: usize) -> Result<u64, K2Error> {
        Ok(0)
    }

    async fn simulate(
        &self,
        _: &[u8],
        watch: &[K2Address],
        _: Commitment,
    ) -> Result<Simulation, K2Error> {
        Ok(Simulation {
            fault: self.vices.simulated.clone().map(Fault::Known),
            logs: vec![],
            units: self.vices.units,
            accounts: vec![None; watch.len()],
        })
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), K2Error> {
        let height = self.ask(&[])?;
        let transaction: Transaction = wincode::deserialize(bytes).unwrap();
        let signature = transaction.signatures[0];
        let hash = transaction.message.recent_blockhash.to_bytes();
        let signed_at = u64::from_le_bytes(hash[..8].try_into().unwrap());
        let mut state = self.state.lock().unwrap();
        let broadcasts = &self.vices.broadcasts;
        let fate = broadcasts
            .get(state.broadcasts % broadcasts.len().max(1))
            .copied()
            .unwrap_or(Some(0));
        state.broadcasts += 1;
        state.seen.insert(signature, transaction);
        let finalized = self.height() - FINAL;
        state.first_seen.entry(signature).or_insert(finalized);
        if let Some(delay) = fate {
            let lands = height + 1 + delay;
            if lands <= signed_at + VALID {
                let first = state.landed.entry(signature).or_insert(lands);
                *first = (*first).min(lands);
            }
        }
        Ok(())
    }

    async fn signature_statuses(
        &self,
        signatures: &[Signature],
        history: bool,
    ) -> Result<At<Vec<Option<SignatureStatus>>>, K2Error> {
        if history && self.vices.no_history {
            return Err(K2Error::Unsupported {
                node: "model".into(),
                method: "getSignatureStatuses",
                message: "no history".into(),
            });
        }
        let height = self.ask(&self.vices.status_lags)?;
        let state = self.state.lock().unwrap();
        let status = |signature: &Signature| {
            let landed = *state.landed.get(signature)?;
            let depth = height.checked_sub(landed)?;
            // The cache of recent signatures.
            if !history && depth > FINAL + 300 {
                return None;
            }
            Some(SignatureStatus {
                slot: landed,
                fault: self.vices.fault.clone().map(Fault::Known),
                commitment: match depth {
                    0 => Commitment::Processed,
                    1..FINAL => Commitment::Confirmed,
                    _ => Commitment::Finalized,
                },
            })
        };
        Ok(At {
            slot: height,
            value: signatures.iter().map(status).collect(),
        })
    }

    async fn prioritization_fees(&self, _: &[K2Address]) -> Result<Option<Vec<u64>>, K2Error> {
        Ok(self.vices.fees.clone())
    }

    async fn request_airdrop(&self, _: &K2Address, _: u64) -> Result<Signature, K2Error> {
        Ok(Signature::default())
    }

    async fn version(&self) -> Result<String, K2Error> {
        Ok("model".into())
    }

    async fn genesis_hash(&self) -> Result<Hash, K2Error> {
        Ok(Hash::new_from_array([2; 32]))
    }
}

fn payer() -> Keypair {
    Keypair::from_seed([1; 32])
}

fn draft() -> Draft {
    let claim = Instruction {
        program_id: pubkey(&PROGRAM),
        accounts: vec![],
        data: vec![InstructionKind::Claim as u8],
    };
    Draft::new(payer().address(), [claim])
}

fn sender(cluster: &Arc<Cluster>, options: SendOptions) -> Sender {
    Sender::new(Arc::clone(cluster) as Arc<dyn K2>, PROGRAM, options)
}

async fn send(cluster: &Arc<Cluster>) -> Result<super::Confirmed, SendError> {
    sender(cluster, SendOptions::default())
        .send(&draft(), &[&payer()])
        .await
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_sent_until_it_is_confirmed() {
    let cluster = Cluster::new(Vices {
        broadcasts: vec![None, None, Some(2)],
        ..Vices::default()
    });
    let confirmed = send(&cluster).await.unwrap();
    assert_eq!((cluster.landed(), cluster.signed()), (1, 1));
    assert!(
        cluster
            .state
            .lock()
            .unwrap()
            .landed
            .contains_key(&confirmed.signature)
    );
    assert!(cluster.state.lock().unwrap().broadcasts >= 3);
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_is_not_sent() {
    let code = PoolError::NothingToClaim.code();
    let cluster = Cluster::new(Vices {
        simulated: Some(TransactionError::InstructionError(
            1,
            InstructionError::Custom(code),
        )),
        ..Vices::default()
    });
    let error = send(&cluster).await.unwrap_err();
    assert!(error.is(PoolError::NothingToClaim), "{error}");
    assert_eq!(
        error.to_string(),
        "Claim: everything has been claimed already"
    );
    assert_eq!(cluster.signed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_its_block_is_told_and_not_repeated() {
    let code = PoolError::WindowCap.code();
    let cluster = Cluster::new(Vices {
        fault: Some(TransactionError::InstructionError(
            1,
            InstructionError::Custom(code),
        )),
        ..Vices::default()
    });
    let error = send(&cluster).await.unwrap_err();
    assert!(matches!(error, SendError::Failed { .. }), "{error}");
    assert!(error.is(PoolError::WindowCap), "{error}");
    assert_eq!(cluster.signed(), 1);
}

/// A new signature only when the finalized chain has left the old one's last block behind.
#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_is_signed_anew_once_it_can_no_longer_land() {
    let mut broadcasts = vec![None; 60];
    broadcasts.push(Some(0));
    let cluster = Cluster::new(Vices {
        broadcasts,
        ..Vices::default()
    });
    send(&cluster).await.unwrap();
    assert_eq!((cluster.landed(), cluster.signed()), (1, 2));
    let state = cluster.state.lock().unwrap();
    let mut finalized: Vec<u64> = state.first_seen.values().copied().collect();
    finalized.sort_unstable();
    assert!(finalized[1] > GENESIS - 1 + VALID, "{finalized:?}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_nobody_takes_is_given_up() {
    let cluster = Cluster::new(Vices {
        broadcasts: vec![None],
        ..Vices::default()
    });
    let error = send(&cluster).await.unwrap_err();
    assert!(matches!(error, SendError::Dropped(3)), "{error}");
    assert_eq!((cluster.landed(), cluster.signed()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_up_nobody_claims_to_know() {
    let cluster = Cluster::new(Vices {
        broadcasts: vec![Some(100)],
        ..Vices::default()
    });
    let options = SendOptions {
        timeout: Duration::from_secs(5),
        ..SendOptions::default()
    };
    let error = sender(&cluster, options)
        .send(&draft(), &[&payer()])
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::Unconfirmed { .. }), "{error}");
    assert_eq!(cluster.landed(), 1, "it landed later");
}

/// The status came from a node that had not seen the last blocks yet.
#[tokio::test(start_paused = true)]
async fn a_node_that_lags_proves_no_absence() {
    let cluster = Cluster::new(Vices {
        // Lands in one of the last blocks it can; every status comes from 60 blocks behind, every height from the front.
        broadcasts: vec![Some(VALID - 3)],
        status_lags: vec![60],
        ..Vices::default()
    });
    send(&cluster).await.unwrap();
    assert_eq!((cluster.landed(), cluster.signed()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_without_history_still_remembers_long_enough() {
    for broadcasts in [vec![Some(VALID - 3)], {
        let mut late = vec![None; 60];
        late.push(Some(0));
        late
    }] {
        let cluster = Cluster::new(Vices {
            broadcasts,
            no_history: true,
            ..Vices::default()
        });
        send(&cluster).await.unwrap();
        assert_eq!(cluster.landed(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn finality_is_waited_for_where_it_is_asked_for() {
    let cluster = Cluster::new(Vices::default());
    let options = SendOptions {
        commitment: Commitment::Finalized,
        ..SendOptions::default()
    };
    let started = cluster.height();
    sender(&cluster, options)
        .send(&draft(), &[&payer()])
        .await
        .unwrap();
    assert!(cluster.height() >= started + FINAL);
}

#[tokio::test(start_paused = true)]
async fn units_and_price_stand_in_the_transaction() {
    for (units, fees, price, wanted) in [
        (Some(1000), None, Price::Fixed(7), (1251, 7)),
        (None, None, Price::Fixed(0), (MAX_UNITS, 0)),
        // Solana 1.14 says 0 where it does not know.
        (Some(0), None, Price::Fixed(0), (MAX_UNITS, 0)),
        (Some(1_390_000), None, Price::Fixed(0), (MAX_UNITS, 0)),
        (
            Some(1000),
            None,
            Price::Recent { least: 3, most: 9 },
            (1251, 3),
        ),
        (
            Some(1000),
            Some(vec![]),
            Price::Recent { least: 3, most: 9 },
            (1251, 3),
        ),
        (
            Some(1000),
            Some(vec![8, 0, 5]),
            Price::Recent { least: 3, most: 9 },
            (1251, 5),
        ),
        (
            Some(1000),
            Some(vec![80, 90]),
            Price::Recent { least: 3, most: 9 },
            (1251, 9),
        ),
    ] {
        let cluster = Cluster::new(Vices {
            units,
            fees,
            ..Vices::default()
        });
        let options = SendOptions {
            price,
            ..SendOptions::default()
        };
        sender(&cluster, options)
            .send(&draft(), &[&payer()])
            .await
            .unwrap();
        let state = cluster.state.lock().unwrap();
        let sent = state.seen.values().next().unwrap();
        let (units, price) = wanted;
        let budget = Budget { units, price };
        let hash = sent.message.recent_blockhash;
        let again = draft().sign(budget, hash, &[&payer()]).unwrap();
        assert_eq!(again.signature, sent.signatures[0], "{wanted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the cluster does: nothing lands twice, and what is reported is true.
    #[test]
    fn nothing_is_done_twice(
        first in prop::collection::vec(prop::option::of(100_u64..150), 1..4),
        dropped in 30_usize..100,
        height_lags in prop::collection::vec(prop_oneof![3 => Just(0_u64), 1 => 0_u64..200], 1..20),
        status_lags in prop::collection::vec(prop_oneof![1 => Just(0_u64), 2 => 0_u64..200], 1..20),
        failures in prop::collection::vec(prop::bool::weighted(0.3), 1..20),
        no_history: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        // Late, for a while not at all, then at once: whoever signs anew too early does it twice.
        let mut broadcasts = first;
        broadcasts.extend(vec![None; dropped]);
        broadcasts.push(Some(0));
        runtime.block_on(async {
            let cluster = Cluster::new(Vices {
                broadcasts, height_lags, status_lags, failures, no_history,
                ..Vices::default()
            });
            let result = send(&cluster).await;
            assert!(cluster.landed() <= 1, "landed twice: {:?}", cluster.vices);
            match result {
                Ok(confirmed) => {
                    let state = cluster.state.lock().unwrap();
                    assert!(state.landed.contains_key(&confirmed.signature));
                }
                Err(SendError::Dropped(_)) => assert_eq!(cluster.landed(), 0),
                // What it says of itself: it may land, or have landed.
                Err(SendError::Unconfirmed { .. } | SendError::K2(_)) => {}
                Err(other) => panic!("{other}"),
            }
        });
    }
}
