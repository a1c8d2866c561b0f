//! A healthy node, and one fact after the other changed.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::problems::{
    BLOCK_PATIENCE, CLOCK_TOLERANCE, FIRST_ROUND, LEAST_ROOM, STARTING, UNFETCHED,
};
use super::*;

const NOW: u64 = 1_800_000_000;

/// A node in the middle of its tenth hour: nothing is wrong.
fn healthy() -> Facts {
    let round = |number: u64, ago: u64| RoundFact {
        round: number,
        opened: NOW - ago - 3_600,
        closed: Some(NOW - ago),
        shares: 1_000,
        difficulty: 2_500.5,
        seal: Some(SealFact {
            cid: format!("bafy{number}"),
            at: NOW - ago,
            fetched: Some(2),
        }),
        accepted: (number < 9).then_some(true),
        others: if number < 9 { 4 } else { 0 },
    };
    Facts {
        node: "node".to_owned(),
        task: "task".to_owned(),
        version: "1.2.3".to_owned(),
        now: NOW,
        live: Some(LiveFact {
            started: NOW - 36_000,
            claimed: Some(10),
            bitcoin: BitcoinFact {
                phase: Phase::Running,
                error: None,
                nodes: vec![("a".to_owned(), None), ("b".to_owned(), None)],
                template: Some(TemplateFact {
                    height: 900_000,
                    age: 7,
                    node_time: NOW - 6,
                }),
                refresh: 30,
                relay: None,
            },
            miners: MinersFact {
                sessions: 3,
                workers: 2,
                stratum_rate: 1.5e12,
                built_in_rate: Some(4e5),
                last_share: Some(NOW - 3),
                accepted: 900,
                rejected: 9,
            },
            settling_trouble: None,
            gateways: vec![GatewayFact {
                url: "http://a".to_owned(),
                trouble: None,
            }],
            k2: Some(K2Fact::Known {
                finalized: Some(5),
                claimed: 1_000,
                claimable: Some(250),
                agrees: Some(true),
            }),
        }),
        rounds: vec![
            RoundFact {
                round: 10,
                opened: NOW - 1_800,
                shares: 12,
                ..RoundFact::default()
            },
            round(9, 1_800),
            round(8, 5_400),
        ],
        audits: AuditsFact {
            valid: 3,
            invalid: 1,
        },
        blocks: vec![BlockFact {
            height: 899_990,
            hash: "00ab".to_owned(),
            at: NOW - 7_200,
            ..BlockFact::default()
        }],
        earned: EarnedFact {
            settled: Some(SettledFact {
                round: 6,
                operator: 1_000,
                miner: 250,
            }),
            before: Some(SettledFact {
                round: 5,
                operator: 900,
                miner: 200,
            }),
            bounty: Some((8, 77)),
        },
        disk_free: Some(LEAST_ROOM),
    }
}

fn live(facts: &mut Facts) -> &mut LiveFact {
    facts.live.as_mut().unwrap()
}

/// The only problem after `change`.
fn problem(change: impl FnOnce(&mut Facts)) -> ProblemView {
    let mut facts = healthy();
    change(&mut facts);
    let status = answer(&facts);
    assert_eq!(status.problems.len(), 1, "{:#?}", status.problems);
    assert_eq!(status.well, status.problems[0].severity == Severity::Notice);
    status.problems.into_iter().next().unwrap()
}

#[track_caller]
fn expect(severity: Severity, part: &str, said: &str, change: impl FnOnce(&mut Facts)) {
    let problem = problem(change);
    assert_eq!((problem.severity, problem.part.as_str()), (severity, part));
    assert!(problem.what.contains(said), "{}", problem.what);
    assert!(!problem.todo.is_empty());
}

#[test]
fn a_healthy_node_needs_no_hand_and_answers_yes() {
    let status = answer(&healthy());
    assert_eq!(status.problems, []);
    assert!(status.well && status.running);
    assert_eq!(status.mining.answer, Verdict::Yes);
    assert_eq!(
        status.mining.lines,
        [
            "for round 10 at height 900000, on a template 7 s old",
            "built-in miner 400 kH/s; 2 workers in 3 sessions on Stratum, 1.50 TH/s; last share 3 s ago",
            "round 10: 12 shares of difficulty 0.000000 in all",
            "1 block found; the last one at height 899990, 2 h ago, accepted",
        ]
    );
    assert_eq!(status.submission.answer, Verdict::Yes);
    assert_eq!(
        status.submission.lines,
        [
            "that of round 8 is, with 4 other operators' ones",
            "round 9 was sealed 30 min ago: Koii decides about it in the rounds after",
            "bundle bafy9 of 1000 shares, fetched from here 2 times",
            "of the others' submissions in that round this node found 3 valid, 1 not",
        ]
    );
    assert_eq!(
        (status.submission.round, status.submission.decided_round),
        (Some(9), Some(8))
    );
    assert_eq!(status.earnings.answer, Verdict::Yes);
    assert_eq!(
        status.earnings.lines,
        [
            "up to round 6, final: 1,000 sat as operator, 250 sat as miner",
            "of it in round 6: 150 sat",
            "from Koii for round 8: 77 of the bounty's smallest units",
            "on K2, finalized up to round 5: 1,000 sat claimed, 250 sat to be claimed with `orcapool k2 claim`",
        ]
    );
}

#[test]
fn without_a_node_the_store_is_told() {
    let mut facts = healthy();
    facts.live = None;
    let status = answer(&facts);
    assert!(!status.running && !status.well);
    assert_eq!(status.mining.answer, Verdict::No);
    assert_eq!(status.mining.lines[0], "no node is running");
    assert_eq!(status.submission.answer, Verdict::Yes);
    assert_eq!(status.problems.len(), 1);
    assert_eq!(status.problems[0].part, "node");
}

#[test]
fn a_node_that_has_just_started_is_given_time() {
    let status = answer(&Facts {
        now: NOW,
        live: Some(LiveFact {
            started: NOW - STARTING,
            ..LiveFact::default()
        }),
        ..Facts::default()
    });
    assert_eq!(status.problems, []);
    assert_eq!(
        [
            status.mining.answer,
            status.submission.answer,
            status.earnings.answer
        ],
        [Verdict::No, Verdict::Unknown, Verdict::NotYet]
    );
}

#[test]
fn work_without_a_round_or_without_shares_is_not_mining_yet() {
    let mut facts = healthy();
    live(&mut facts).claimed = None;
    assert_eq!(answer(&facts).mining.answer, Verdict::NotYet);
    let mut facts = healthy();
    live(&mut facts).miners.last_share = None;
    assert_eq!(answer(&facts).mining.answer, Verdict::NotYet);
}

#[test]
fn the_bitcoin_node() {
    expect(
        Severity::Hand,
        "bitcoin",
        "no new template for 2 min: refused",
        |facts| {
            let bitcoin = &mut live(facts).bitcoin;
            bitcoin.error = Some("refused".to_owned());
            bitcoin.template = Some(TemplateFact {
                age: 121,
                node_time: NOW - 121,
                ..TemplateFact::default()
            });
        },
    );
    expect(Severity::Hand, "bitcoin", "gives work: refused", |facts| {
        let bitcoin = &mut live(facts).bitcoin;
        (bitcoin.template, bitcoin.phase) = (None, Phase::Connecting);
        bitcoin.error = Some("refused".to_owned());
    });
    expect(Severity::Hand, "bitcoin", "synchronising: 45 %", |facts| {
        let bitcoin = &mut live(facts).bitcoin;
        (bitcoin.template, bitcoin.phase) = (None, Phase::Syncing { ppm: 456_789 });
    });
    expect(
        Severity::Notice,
        "bitcoin",
        "b is left alone: behind",
        |facts| {
            live(facts).bitcoin.nodes[1].1 = Some("behind".to_owned());
        },
    );
}

#[test]
fn the_relay_beside_the_peers() {
    let relay = |is_wrong, age| RelayFact {
        words: "the relay says so".to_owned(),
        is_wrong,
        age,
    };
    expect(Severity::Hand, "relay", "the relay says so", |facts| {
        live(facts).bitcoin.relay = Some(relay(true, 3));
    });
    let mut facts = healthy();
    assert_eq!(answer(&facts).mining.relay_agrees, None);
    live(&mut facts).bitcoin.relay = Some(relay(false, 3));
    let view = answer(&facts);
    assert_eq!((view.mining.relay_agrees, view.well), (Some(true), true));
    assert!(view.mining.lines.contains(&"the relay says so".to_owned()));
    // K2 is away since: what it showed before is old.
    live(&mut facts).bitcoin.relay = Some(relay(false, 600));
    let lines = answer(&facts).mining.lines;
    let old = "the relay says so (K2 showed it 10 min ago)".to_owned();
    assert!(lines.contains(&old), "{lines:?}");
}

#[test]
fn the_clock() {
    for (node_time, said) in [
        (NOW - 7 + CLOCK_TOLERANCE + 1, "5 min behind"),
        (NOW - 7 - CLOCK_TOLERANCE - 1, "5 min ahead of"),
    ] {
        expect(Severity::Hand, "clock", said, |facts| {
            live(facts).bitcoin.template.as_mut().unwrap().node_time = node_time;
        });
    }
}

#[test]
fn koii_that_does_not_call() {
    expect(
        Severity::Hand,
        "koii",
        "round 10 has been open for 3 h",
        |facts| {
            facts.rounds[0].opened = NOW - 3 * 3_600 - 1;
        },
    );
    expect(Severity::Hand, "koii", "no round in the 61 min", |facts| {
        live(facts).claimed = None;
        live(facts).started = NOW - FIRST_ROUND - 60;
    });
    // A node that comes back after a long time is called again in its time.
    let mut facts = healthy();
    facts.rounds[0].opened = NOW - 100_000;
    live(&mut facts).started = NOW - 3_600;
    assert_eq!(answer(&facts).problems, []);
}

#[test]
fn miners_that_are_not_there() {
    expect(Severity::Hand, "miners", "no miner is connected", |facts| {
        let miners = &mut live(facts).miners;
        (miners.sessions, miners.built_in_rate, miners.last_share) = (0, None, None);
    });
    expect(Severity::Hand, "miners", "no share in 20 min", |facts| {
        live(facts).miners.last_share = Some(NOW - 1_200);
    });
    expect(Severity::Notice, "miners", "101 of 1001 shares", |facts| {
        let miners = &mut live(facts).miners;
        (miners.accepted, miners.rejected) = (900, 101);
    });
}

#[test]
fn a_submission_that_is_not_accepted() {
    expect(
        Severity::Hand,
        "submission",
        "round 8 was not accepted",
        |facts| {
            facts.rounds[2].accepted = Some(false);
        },
    );
    let mut facts = healthy();
    facts.rounds[2].accepted = Some(false);
    assert_eq!(answer(&facts).submission.answer, Verdict::No);
}

#[test]
fn a_bundle_that_nobody_fetches() {
    expect(Severity::Notice, "content", "bundle of round 8", |facts| {
        let seal = facts.rounds[2].seal.as_mut().unwrap();
        (seal.fetched, seal.at) = (Some(0), NOW - UNFETCHED - 1);
    });
    // Not known, or nobody there to fetch it.
    let mut facts = healthy();
    facts.rounds[2].seal.as_mut().unwrap().fetched = None;
    assert_eq!(answer(&facts).problems, []);
    facts.rounds[2].seal.as_mut().unwrap().fetched = Some(0);
    facts.rounds[2].others = 0;
    assert_eq!(answer(&facts).problems, []);
}

#[test]
fn blocks_that_no_node_has_or_wants() {
    expect(
        Severity::Hand,
        "block",
        "00ab at height 899990, found 3 min ago, is with no",
        |facts| {
            facts.blocks[0].waits = true;
            facts.blocks[0].at = NOW - BLOCK_PATIENCE - 1;
        },
    );
    expect(
        Severity::Hand,
        "block",
        "was refused: bad-cb-amount",
        |facts| {
            facts.blocks[0].refused = Some("bad-cb-amount".to_owned());
        },
    );
    let mut facts = healthy();
    facts.blocks[0].stale = true;
    assert_eq!(answer(&facts).problems, []);
}

#[test]
fn disk_gateways_settlement_and_k2() {
    expect(Severity::Hand, "disk", "only 1023 MiB", |facts| {
        facts.disk_free = Some(LEAST_ROOM - 1);
    });
    expect(
        Severity::Hand,
        "gateways",
        "the only gateway, http://a, does",
        |facts| {
            live(facts).gateways[0].trouble = Some("no connection".to_owned());
        },
    );
    expect(
        Severity::Notice,
        "gateways",
        "http://b does not answer: no connection",
        |facts| {
            live(facts).gateways.push(GatewayFact {
                url: "http://b".to_owned(),
                trouble: Some("no connection".to_owned()),
            });
        },
    );
    expect(
        Severity::Notice,
        "settlement",
        "a bundle is away",
        |facts| {
            live(facts).settling_trouble = Some("a bundle is away".to_owned());
        },
    );
    expect(
        Severity::Notice,
        "k2",
        "does not answer: timeout",
        |facts| {
            live(facts).k2 = Some(K2Fact::Away("timeout".to_owned()));
        },
    );
    expect(
        Severity::Hand,
        "k2",
        "for round 5 is not what this node computed",
        |facts| {
            live(facts).k2 = Some(K2Fact::Known {
                finalized: Some(5),
                claimed: 0,
                claimable: None,
                agrees: Some(false),
            });
        },
    );
}

#[test]
fn the_urgent_comes_first() {
    let mut facts = healthy();
    live(&mut facts).settling_trouble = Some("x".to_owned());
    facts.disk_free = Some(0);
    live(&mut facts).bitcoin.nodes[0].1 = Some("y".to_owned());
    facts.blocks[0].refused = Some("z".to_owned());
    let order: Vec<_> = answer(&facts)
        .problems
        .iter()
        .map(|problem| problem.severity)
        .collect();
    assert_eq!(
        order,
        [
            Severity::Hand,
            Severity::Hand,
            Severity::Notice,
            Severity::Notice
        ]
    );
}

/// A moment: around now, and where arithmetic could go wrong.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        NOW - 100_000..NOW + 100_000,
        any::<u64>()
    ]
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(".{0,8}")
}

prop_compose! {
    fn round()(
        round in any::<u64>(), opened in time(), closed in proptest::option::of(time()), shares in any::<u64>(),
        difficulty in any::<f64>(), seal in proptest::option::of((".{0,8}", time(), proptest::option::of(any::<u64>()))),
        accepted in any::<Option<bool>>(), others in any::<usize>(),
    ) -> RoundFact {
        let seal = seal.map(|(cid, at, fetched)| SealFact { cid, at, fetched });
        RoundFact { round, opened, closed, shares, difficulty, seal, accepted, others }
    }
}

prop_compose! {
    fn block()(
        height in any::<u32>(), hash in ".{0,8}", at in time(), waits in any::<bool>(), refused in text(), stale in any::<bool>(),
    ) -> BlockFact {
        BlockFact { height, hash, at, waits, refused, stale }
    }
}

prop_compose! {
    fn any_bitcoin()(
        phase in prop_oneof![Just(Phase::Connecting), any::<u32>().prop_map(|ppm| Phase::Syncing { ppm }), Just(Phase::Running)],
        error in text(), nodes in proptest::collection::vec((".{0,4}", text()), 0..3),
        template in proptest::option::of((any::<u32>(), time(), time())), refresh in time(),
        relay in proptest::option::of((".{1,8}", any::<bool>(), time())),
    ) -> BitcoinFact {
        let relay = relay.map(|(words, is_wrong, age)| RelayFact { words, is_wrong, age });
        let template = template.map(|(height, age, node_time)| TemplateFact { height, age, node_time });
        BitcoinFact { phase, error, nodes, template, refresh, relay }
    }
}

prop_compose! {
    fn any_miners()(
        sessions in any::<usize>(), workers in any::<usize>(), stratum_rate in any::<f64>(),
        built_in_rate in any::<Option<f64>>(), last_share in proptest::option::of(time()), accepted in any::<u64>(),
        rejected in any::<u64>(),
    ) -> MinersFact {
        MinersFact { sessions, workers, stratum_rate, built_in_rate, last_share, accepted, rejected }
    }
}

fn any_k2() -> impl Strategy<Value = Option<K2Fact>> {
    let known = (
        any::<Option<u64>>(),
        any::<u64>(),
        any::<Option<u64>>(),
        any::<Option<bool>>(),
    );
    proptest::option::of(prop_oneof![
        ".{0,8}".prop_map(K2Fact::Away),
        known.prop_map(|(finalized, claimed, claimable, agrees)| K2Fact::Known {
            finalized,
            claimed,
            claimable,
            agrees
        }),
    ])
}

prop_compose! {
    fn any_live()(
        started in time(), claimed in any::<Option<u64>>(), bitcoin in any_bitcoin(), miners in any_miners(),
        settling_trouble in text(), gateways in proptest::collection::vec((".{0,4}", text()), 0..3), k2 in any_k2(),
    ) -> LiveFact {
        let gateways = gateways.into_iter().map(|(url, trouble)| GatewayFact { url, trouble }).collect();
        LiveFact { started, claimed, bitcoin, miners, settling_trouble, gateways, k2 }
    }
}

fn any_settled() -> impl Strategy<Value = Option<SettledFact>> {
    let fact = |(round, operator, miner)| SettledFact {
        round,
        operator,
        miner,
    };
    proptest::option::of(any::<(u64, u64, u64)>().prop_map(fact))
}

prop_compose! {
    fn any_facts()(
        now in time(), live in proptest::option::of(any_live()), rounds in proptest::collection::vec(round(), 0..4),
        audits in (0..1_usize << 40, 0..1_usize << 40), blocks in proptest::collection::vec(block(), 0..3),
        settled in any_settled(), before in any_settled(), bounty in any::<Option<(u64, i64)>>(),
        disk_free in any::<Option<u64>>(),
    ) -> Facts {
        Facts {
            now, live, rounds, blocks, disk_free,
            audits: AuditsFact { valid: audits.0, invalid: audits.1 },
            earned: EarnedFact { settled, before, bounty },
            ..Facts::default()
        }
    }
}

proptest! {
    /// Clocks jump, stores come from elsewhere, difficulties are no numbers: every combination has an answer.
    #[test]
    fn whatever_the_facts_there_is_an_answer(facts in any_facts()) {
        let status = answer(&facts);
        prop_assert_eq!(status.running, facts.live.is_some());
        prop_assert!(status.running || !status.well);
        prop_assert_eq!(status.well, status.problems.iter().all(|problem| problem.severity == Severity::Notice));
        prop_assert!(status.problems.is_sorted_by_key(|problem| problem.severity));
        prop_assert!(status.problems.iter().all(|problem| !problem.what.is_empty() && !problem.todo.is_empty()));
        for lines in [&status.mining.lines, &status.submission.lines, &status.earnings.lines] {
            prop_assert!(!lines.is_empty());
        }
        // What was said can be read back.
        let json = serde_json::to_string(&status).unwrap();
        prop_assert_eq!(serde_json::from_str::<StatusView>(&json).unwrap(), status);
    }
}
