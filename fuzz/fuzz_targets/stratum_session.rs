//! A Stratum client that sends anything: the session answers in whole messages, says `true` to no share that is not stored,
//! records no share twice, and is silent once it has ended.
//!
//! One line of input is one line of the client. Lines that begin with `@` are the world around the session: `@w` new work,
//! `@t` time, `@s`, `@d`, `@f` the store's answer (stored, duplicate, failed) to the share that waits longest.
#![no_main]

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bitcoin::{BlockHash, Network};
use k2_interface::K2Address;
use libfuzzer_sys::fuzz_target;
use pow::ShareDifficulty;
use serde_json::Value;
use stratum::{
    Action, CurrentWork, ExtranonceAllocator, Moment, NoRandomness, NodeSeenShares, PortSettings,
    Randomness, Recorded, Session, SessionContext, SessionSettings, SinkError, StatsTable, Ticket,
};
use work::{
    BlockTemplate, LiveTemplate, PayoutScript, PoolTag, RoundNumber, TaskId, TemplateParts,
    UnixTime,
};

const START: u32 = 1_800_000_000;
const LONGEST_ANSWER: usize = 16 * 1024;

/// Two blocks to build on; regtest's target, so that about every other header is a share and a block.
static WORK: LazyLock<[Arc<CurrentWork>; 2]> = LazyLock::new(|| [work_on(1), work_on(2)]);

fn work_on(prev: u8) -> Arc<CurrentWork> {
    let parts = TemplateParts {
        height: 100 + u32::from(prev),
        prev_hash: [prev; 32],
        version: 0x2000_0000,
        nbits: 0x207f_ffff,
        min_time: START - 600,
        cur_time: START,
        coinbase_value: 50_0000_0000,
        transactions: Vec::new(),
        witness_commitment_script: None,
    };
    let block = Arc::new(BlockTemplate::new(&parts, Network::Regtest).unwrap());
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    let live = LiveTemplate::new(block, &payout, PoolTag::new(*b"/orcapool/").unwrap()).unwrap();
    let node = K2Address::from_bytes([8; 32]);
    let round = RoundNumber::new(prev.into()).unwrap();
    Arc::new(CurrentWork::new(
        Arc::new(live),
        TaskId::from_bytes([7; 32]),
        node,
        round,
    ))
}

/// The same session ids in every run.
#[derive(Default)]
struct Counted(AtomicU64);

impl Randomness for Counted {
    fn bytes16(&self) -> Result<[u8; 16], NoRandomness> {
        Ok(u128::from(self.0.fetch_add(1, Ordering::Relaxed)).to_be_bytes())
    }
}

/// What has been seen of the session so far.
#[derive(Default)]
struct Observer {
    ended: bool,
    waiting: VecDeque<(Ticket, BlockHash)>,
    recorded: HashSet<BlockHash>,
}

impl Observer {
    /// Checks what the session wants done. `acknowledges`: whether a plain `true` may be among it.
    fn sees(&mut self, actions: Vec<Action>, acknowledges: bool) {
        for action in actions {
            // A share that was under way is answered, though nobody may hear it any more.
            let is_answer = acknowledges && matches!(action, Action::Send(_));
            assert!(!self.ended || is_answer, "something after Disconnect");
            match action {
                Action::Send(line) => {
                    assert!(line.len() <= LONGEST_ANSWER);
                    assert_eq!(
                        line.iter().position(|byte| *byte == b'\n'),
                        Some(line.len() - 1)
                    );
                    let message: Value = serde_json::from_slice(&line).unwrap();
                    let is_reply = message.get("method").is_none();
                    assert!(
                        !is_reply
                            || ["id", "result", "error"]
                                .iter()
                                .all(|key| message.get(key).is_some())
                    );
                    assert!(
                        acknowledges || !is_reply || message["result"] != Value::Bool(true),
                        "true before it is stored"
                    );
                }
                Action::Record { ticket, share, .. } => {
                    assert!(self.recorded.insert(share.hash()), "recorded twice");
                    self.waiting.push_back((ticket, share.hash()));
                }
                Action::Block { block, work, .. } => {
                    assert!(work.template().block().assemble(&block).is_ok());
                }
                Action::Disconnect(_) => self.ended = true,
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let context = Arc::new(SessionContext::new(
        SessionSettings::default(),
        Arc::new(ExtranonceAllocator::new(3, Arc::new(Counted::default()))),
        Arc::new(NodeSeenShares::new(64)),
        Arc::new(StatsTable::default()),
    ));
    let mut now = Moment {
        wall: UnixTime(START.into()),
        monotonic: Duration::from_secs(50),
    };
    let port = PortSettings {
        start_difficulty: ShareDifficulty::MIN,
    };
    let mut session = Session::new(Arc::clone(&context), port, now);
    let mut observer = Observer::default();
    let mut works = WORK.iter().cycle();
    for line in bytes.split(|byte| *byte == b'\n') {
        match line {
            [b'@', b'w', ..] => {
                let Some(work) = works.next() else { return };
                context.seen().building_on(work.prev_hash());
                // From here on the store alone knows older shares.
                observer.recorded.clear();
                observer.sees(session.on_work(work, now), true);
            }
            [b'@', b't', seconds, ..] => {
                let passed = Duration::from_secs(u64::from(*seconds));
                now = Moment {
                    wall: now.wall.plus(passed.as_secs()),
                    monotonic: now.monotonic + passed,
                };
                observer.sees(session.on_tick(now), true);
            }
            [b'@', answer @ (b's' | b'd' | b'f'), ..] => {
                let Some((ticket, hash)) = observer.waiting.pop_front() else {
                    continue;
                };
                let outcome = match answer {
                    b's' => Ok(Recorded::Stored),
                    b'd' => Ok(Recorded::Duplicate),
                    _ => {
                        // The miner may send it again.
                        observer.recorded.remove(&hash);
                        Err(SinkError::new("disk full"))
                    }
                };
                observer.sees(session.on_recorded(ticket, &outcome, now), true);
            }
            line => {
                if session.wants_lines() {
                    let is_submit = serde_json::from_slice::<Value>(line)
                        .is_ok_and(|request| request["method"] == "mining.submit");
                    observer.sees(session.on_line(line, now), !is_submit);
                }
            }
        }
        assert_eq!(session.pending(), observer.waiting.len());
    }
});
