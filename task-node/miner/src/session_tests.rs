#![allow(clippy::unwrap_used, clippy::panic)]
use proptest::prelude::*;

use super::*;
use crate::notify::tests::slush;

const NOW: Duration = Duration::from_secs(1_000);

fn session() -> Session {
    Session::new(
        7,
        Account {
            user: "miner.one".to_owned(),
            password: "x".to_owned(),
            suggest_difficulty: Some(0.5),
            host: "pool.example".to_owned(),
        },
    )
}

fn sent(actions: &[Action]) -> Vec<Value> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(line) => Some(serde_json::from_str(line).unwrap()),
            _ => None,
        })
        .collect()
}

fn methods(actions: &[Action]) -> Vec<String> {
    sent(actions)
        .iter()
        .map(|message| message["method"].as_str().unwrap_or("reply").to_owned())
        .collect()
}

fn failure(actions: &[Action]) -> Option<&SessionError> {
    actions.iter().find_map(|action| match action {
        Action::Fail(error) => Some(error),
        _ => None,
    })
}

fn say(session: &mut Session, line: &Value) -> Vec<Action> {
    session.line(&line.to_string(), NOW)
}

fn ok(session: &mut Session, id: u64, result: &Value) -> Vec<Action> {
    say(session, &json!({"id": id, "result": result, "error": null}))
}

fn notify(session: &mut Session, id: &str, clean: bool) -> Vec<Action> {
    let mut params = slush();
    params[0] = json!(id);
    params[8] = json!(clean);
    say(
        session,
        &json!({"id": null, "method": "mining.notify", "params": params}),
    )
}

fn call(session: &mut Session, method: &str, params: &Value) -> Vec<Action> {
    say(
        session,
        &json!({"id": null, "method": method, "params": params}),
    )
}

/// Configured with version rolling, subscribed with 4 bytes of extranonce2, authorised.
fn mining() -> Session {
    let mut session = session();
    session.connected(NOW);
    ok(
        &mut session,
        1,
        &json!({"version-rolling": true, "version-rolling.mask": "1fffe000"}),
    );
    ok(
        &mut session,
        2,
        &json!([[["mining.notify", "s"]], "08000002", 4]),
    );
    // 3 is suggest_difficulty.
    let actions = ok(&mut session, 4, &json!(true));
    assert!(matches!(actions[0], Action::Authorized));
    session
}

fn work(actions: &[Action]) -> Option<Arc<MiningWork>> {
    actions.iter().find_map(|action| match action {
        Action::Work(work) => Some(Arc::clone(work)),
        _ => None,
    })
}

fn solution(work: &Arc<MiningWork>) -> Solution {
    Solution {
        work: Arc::clone(work),
        extranonce2: vec![0, 0, 0, 0xab],
        ntime: 0x504e_86ed,
        nonce: 0x0000_00ff,
        version_bits: Some(0x0000_2000),
    }
}

#[test]
fn one_step_after_the_other() {
    let mut session = session();
    let actions = session.connected(NOW);
    assert_eq!(methods(&actions), ["mining.configure"]);
    assert_eq!(
        sent(&actions)[0]["params"][1]["version-rolling.mask"],
        "1fffe000"
    );

    let actions = ok(
        &mut session,
        1,
        &json!({"version-rolling": true, "version-rolling.mask": "00006000"}),
    );
    assert_eq!(methods(&actions), ["mining.subscribe"]);
    let actions = ok(&mut session, 2, &json!([[], "08000002", 4]));
    assert_eq!(
        methods(&actions),
        ["mining.suggest_difficulty", "mining.authorize"]
    );
    assert_eq!(sent(&actions)[1]["params"], json!(["miner.one", "x"]));

    // A job may come before the answer to authorize; it is searched right after.
    let actions = notify(&mut session, "a", true);
    assert!(work(&actions).is_none());
    assert!(
        session
            .found(&solution(&session.latest.clone().unwrap()), NOW)
            .iter()
            .all(|a| matches!(a, Action::Discarded))
    );
    let actions = ok(&mut session, 4, &json!(true));
    let first = work(&actions).unwrap();
    assert_eq!(first.job.id, "a");
    assert_eq!(first.version_mask, Some(VersionMask::negotiate(0x6000)));
    assert_eq!(first.extranonce1, [8, 0, 0, 2]);
    assert_eq!(methods(&actions), ["mining.extranonce.subscribe"]);
}

#[test]
fn a_pool_without_configure_is_mined_without_rolling() {
    for answer in [
        Some(json!({"id": 1, "result": null, "error": [20, "unknown", null]})),
        Some(json!({"id": 1, "result": {"version-rolling": false}, "error": null})),
        Some(
            json!({"id": 1, "result": {"version-rolling": true, "version-rolling.mask": 7}, "error": null}),
        ),
        None,
    ] {
        let mut session = session();
        session.connected(NOW);
        let actions = match answer {
            Some(answer) => say(&mut session, &answer),
            None => {
                assert!(session.tick(NOW + CONFIGURE_PATIENCE).is_empty());
                session.tick(NOW + CONFIGURE_PATIENCE + Duration::from_secs(1))
            }
        };
        assert_eq!(methods(&actions), ["mining.subscribe"]);
        ok(&mut session, 2, &json!([[], "", 8]));
        ok(&mut session, 4, &json!(true));
        let work = work(&notify(&mut session, "a", true)).unwrap();
        assert_eq!(work.version_mask, None);
        // And its answer, come too late, does not start the subscription over.
        assert!(
            ok(
                &mut session,
                1,
                &json!({"version-rolling": true, "version-rolling.mask": "1fffe000"})
            )
            .is_empty()
        );
        // No sixth parameter where rolling was not negotiated.
        let actions = session.found(
            &Solution {
                version_bits: None,
                ..solution(&work)
            },
            NOW,
        );
        assert_eq!(sent(&actions)[0]["params"].as_array().unwrap().len(), 5);
    }
}

#[test]
fn a_share_is_sent_and_answered() {
    let mut session = mining();
    let job = work(&notify(&mut session, "bf", true)).unwrap();
    let actions = session.found(&solution(&job), NOW);
    let submit = &sent(&actions)[0];
    assert_eq!(submit["method"], "mining.submit");
    assert_eq!(
        submit["params"],
        json!([
            "miner.one",
            "bf",
            "000000ab",
            "504e86ed",
            "000000ff",
            "00002000"
        ])
    );
    assert_eq!(session.unanswered(), 1);
    let id = submit["id"].as_u64().unwrap();
    assert!(matches!(
        ok(&mut session, id, &json!(true))[..],
        [Action::Accepted]
    ));
    assert_eq!(session.unanswered(), 0);
    // Answered twice counts once.
    assert!(ok(&mut session, id, &json!(true)).is_empty());

    let actions = session.found(&solution(&job), NOW);
    let id = sent(&actions)[0]["id"].as_u64().unwrap();
    let actions = say(
        &mut session,
        &json!({"id": id, "result": null, "error": [22, "Duplicate share", null]}),
    );
    assert!(matches!(&actions[..], [Action::Rejected(error)] if error.code == Some(22)));
    let actions = session.found(&solution(&job), NOW);
    let id = sent(&actions)[0]["id"].as_u64().unwrap();
    assert!(matches!(
        ok(&mut session, id, &json!(false))[..],
        [Action::Rejected(_)]
    ));
}

#[test]
fn set_difficulty_is_for_later_jobs_esp_miner_212() {
    let mut session = mining();
    let before = work(&notify(&mut session, "a", true)).unwrap();
    assert_eq!(before.target, Target::DIFFICULTY_ONE);
    assert!(call(&mut session, "mining.set_difficulty", &json!([1.5])).is_empty());
    let after = work(&notify(&mut session, "b", false)).unwrap();
    assert_eq!(
        after.target,
        pow::ShareDifficulty::ONE.harder().harder().target()
    );
    assert_eq!(before.target, Target::DIFFICULTY_ONE);
    // The old job was not cleaned: its shares still go out, under its own id.
    let actions = session.found(&solution(&before), NOW);
    assert_eq!(sent(&actions)[0]["params"][1], "a");
}

#[test]
fn clean_jobs_ends_all_earlier_ones() {
    let mut session = mining();
    let a = work(&notify(&mut session, "a", true)).unwrap();
    let b = work(&notify(&mut session, "b", false)).unwrap();
    let c = work(&notify(&mut session, "c", true)).unwrap();
    for old in [&a, &b] {
        assert!(matches!(
            session.found(&solution(old), NOW)[..],
            [Action::Discarded]
        ));
    }
    assert_eq!(
        methods(&session.found(&solution(&c), NOW)),
        ["mining.submit"]
    );
}

#[test]
fn shares_of_another_connection_are_not_sent() {
    let mut session = mining();
    let job = work(&notify(&mut session, "a", true)).unwrap();
    let old = Arc::new(MiningWork {
        session: 6,
        ..(*job).clone()
    });
    assert!(matches!(
        session.found(&solution(&old), NOW)[..],
        [Action::Discarded]
    ));
}

#[test]
fn new_extranonces_and_masks_are_for_later_jobs() {
    let mut session = mining();
    let before = work(&notify(&mut session, "a", true)).unwrap();
    call(&mut session, "mining.set_extranonce", &json!(["aabbcc", 2]));
    call(
        &mut session,
        "mining.set_version_mask",
        &json!(["ffffffff"]),
    );
    let after = work(&notify(&mut session, "b", false)).unwrap();
    assert_eq!((before.extranonce1.len(), before.extranonce2_size), (4, 4));
    assert_eq!(
        (after.extranonce1.as_slice(), after.extranonce2_size),
        (&[0xaa, 0xbb, 0xcc][..], 2)
    );
    assert_eq!(after.version_mask, Some(VersionMask::BIP320));
}

#[test]
fn a_pool_may_ask_back() {
    let mut session = session();
    session.connected(NOW);
    let actions = say(
        &mut session,
        &json!({"id": 9, "method": "mining.ping", "params": []}),
    );
    assert_eq!(
        sent(&actions)[0],
        json!({"id": 9, "result": "pong", "error": null})
    );
    let actions = say(
        &mut session,
        &json!({"id": "x", "method": "client.get_version"}),
    );
    assert!(
        sent(&actions)[0]["result"]
            .as_str()
            .unwrap()
            .starts_with("orcapool/")
    );
    let actions = say(
        &mut session,
        &json!({"id": 1, "method": "no.such.thing", "params": []}),
    );
    assert_eq!(sent(&actions)[0]["error"][0], -3);
    // A notification nobody knows is not answered, nor an id that is a document.
    assert!(call(&mut session, "no.such.thing", &json!([])).is_empty());
    assert!(say(&mut session, &json!({"id": [[1]], "method": "mining.ping"})).is_empty());
    let actions = call(&mut session, "client.show_message", &json!(["hi\u{7}"]));
    assert!(matches!(&actions[..], [Action::Message(text)] if text == "hi"));
}

#[test]
fn reconnect_stays_with_the_host() {
    let mut session = mining();
    for (params, port, wait) in [
        (json!([]), None, 0),
        (json!(["", 3334, 5]), Some(3334), 5),
        (json!(["POOL.example", "3335", "7"]), Some(3335), 7),
        (json!([null, 70_000, 1_000_000]), None, 600),
    ] {
        let actions = call(&mut session, "client.reconnect", &params);
        let [
            Action::Reconnect {
                port: said,
                wait: long,
            },
        ] = actions[..]
        else {
            panic!("{params}: {actions:?}")
        };
        assert_eq!((said, long), (port, Duration::from_secs(wait)));
    }
    for params in [
        json!(["evil.example", 3333]),
        json!([7, 3333]),
        json!(["pool.example.evil", 1]),
    ] {
        let actions = call(&mut session, "client.reconnect", &params);
        assert!(matches!(&actions[..], [Action::Message(text)] if text.starts_with("refused")));
    }
}

#[test]
fn what_cannot_be_read_ends_the_connection() {
    for line in ["HTTP/1.1 400 Bad Request", "{", "[1]", "\u{0}"] {
        assert_eq!(
            failure(&mining().line(line, NOW)),
            Some(&SessionError::NotStratum)
        );
    }
    assert!(mining().line("  ", NOW).is_empty());
    for (method, params) in [
        ("mining.set_difficulty", json!([])),
        ("mining.set_difficulty", json!(["1"])),
        ("mining.set_difficulty", json!([0])),
        ("mining.set_difficulty", json!([-1.5])),
        ("mining.set_difficulty", json!([1e200])),
        ("mining.set_extranonce", json!(["08000002"])),
        ("mining.set_extranonce", json!(["08000002", 1_000_000_000])),
        ("mining.set_extranonce", json!(["00".repeat(33), 4])),
        ("mining.set_extranonce", json!(["0", 4])),
        ("mining.set_version_mask", json!([7])),
        ("mining.notify", json!([])),
    ] {
        assert!(
            failure(&call(&mut mining(), method, &params)).is_some(),
            "{method} {params}"
        );
    }
    for result in [
        json!(null),
        json!([]),
        json!([[], "08000002"]),
        json!([[], "08000002", 17]),
        json!([[], 5, 4]),
    ] {
        let mut session = session();
        session.connected(NOW);
        ok(&mut session, 1, &json!({}));
        assert!(failure(&ok(&mut session, 2, &result)).is_some(), "{result}");
    }
}

#[test]
fn a_refused_user_is_told() {
    for reply in [
        json!({"id": 4, "result": false, "error": null}),
        json!({"id": 4, "result": null, "error": [24, "Unauthorized worker", null]}),
    ] {
        let mut session = session();
        session.connected(NOW);
        ok(&mut session, 1, &json!({}));
        ok(&mut session, 2, &json!([[], "08000002", 4]));
        let actions = say(&mut session, &reply);
        assert!(matches!(
            failure(&actions),
            Some(SessionError::Unauthorized(_))
        ));
    }
}

#[test]
fn silence_ends_the_connection() {
    let second = Duration::from_secs(1);
    let mut session = mining();
    let job = work(&notify(&mut session, "a", true)).unwrap();
    // suggest_difficulty and extranonce.subscribe were never answered: that is no reason.
    assert!(session.tick(NOW + PATIENCE + second).is_empty());
    session.found(&solution(&job), NOW);
    assert!(session.tick(NOW + PATIENCE).is_empty());
    assert_eq!(
        failure(&session.tick(NOW + PATIENCE + second)),
        Some(&SessionError::Silent)
    );

    let mut quiet = mining();
    assert!(quiet.tick(NOW + SILENCE).is_empty());
    assert_eq!(
        failure(&quiet.tick(NOW + SILENCE + second)),
        Some(&SessionError::Silent)
    );
}

#[test]
fn a_pool_that_answers_nothing_does_not_pile_up_shares() {
    let mut session = mining();
    let job = work(&notify(&mut session, "a", true)).unwrap();
    let mut count = 0;
    while session.takes_solutions() {
        session.found(&solution(&job), NOW);
        count += 1;
        assert!(count <= MAX_UNANSWERED);
    }
    assert!(count > 100);
}

/// Everything a pool can say, mixed with nonsense.
fn any_line() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        Just("mining.notify"),
        Just("mining.set_difficulty"),
        Just("mining.set_extranonce"),
        Just("mining.set_version_mask"),
        Just("client.reconnect"),
        Just("client.show_message"),
        Just("mining.ping"),
        Just("x"),
    ];
    let value = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-f]{0,64}".prop_map(Value::from),
        Just(json!([])),
        Just(slush()),
    ];
    let params = prop_oneof![
        prop::collection::vec(value.clone(), 0..10).prop_map(Value::from),
        any::<bool>().prop_map(|clean| {
            let mut job = slush();
            job[8] = json!(clean);
            job
        }),
    ];
    prop_oneof![
        ".{0,60}",
        (method, params).prop_map(|(method, params)| {
            json!({"id": null, "method": method, "params": params}).to_string()
        }),
        (0..12_u64, value.clone(), value).prop_map(|(id, result, error)| {
            json!({"id": id, "result": result, "error": error}).to_string()
        }),
    ]
}

proptest! {
    /// A hostile pool: nothing panics, questions do not pile up, and no work is searched before its time.
    #[test]
    fn any_lines(lines in prop::collection::vec(any_line(), 0..60)) {
        let mut session = session();
        session.connected(NOW);
        let mut authorized = false;
        for line in lines {
            for action in session.line(&line, NOW) {
                match action {
                    Action::Authorized => authorized = true,
                    Action::Work(work) => {
                        prop_assert!(authorized);
                        prop_assert!(work.extranonce2_size <= MAX_EXTRANONCE2);
                        let actions = session.found(&solution(&work), NOW);
                        prop_assert!(!actions.is_empty());
                    }
                    _ => {}
                }
            }
            prop_assert!(session.pending.len() <= MAX_UNANSWERED + 8);
        }
    }
}
