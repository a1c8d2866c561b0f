//! What needs a hand: each rule is a function that finds its problem in the facts, or does not.

use super::answers::FRESH_SHARE;
use super::facts::{Facts, GatewayFact, K2Fact, LiveFact, Phase, RoundFact};
use super::views::{ProblemView, Severity};
use super::words::{ago, count, span};

/// Less room than this is little: a full disk stops shares.
pub(super) const LEAST_ROOM: u64 = 1 << 30;
/// How far two clocks may be apart, in seconds. Auditors refuse rounds that begin or end half an hour elsewhere.
pub(super) const CLOCK_TOLERANCE: u64 = 300;
/// A start takes this long at most, in seconds.
pub(super) const STARTING: u64 = 120;
/// Koii calls within this time of the start, in seconds.
pub(super) const FIRST_ROUND: u64 = 3_600;
/// A round may take this many times as long as the longest of those before it.
const ROUND_PATIENCE: u64 = 3;
/// And no shorter than this is ever too long, in seconds.
const SHORT_ROUND: u64 = 600;
/// A round without any before it may take this long, in seconds.
const UNKNOWN_ROUND: u64 = 4 * 3_600;
/// A block is judged by its node at once; one that waits is offered again every minute.
pub(super) const BLOCK_PATIENCE: u64 = 180;
/// A refused block is told for a day, in seconds.
const REFUSED_TOLD: u64 = 86_400;
/// Auditors and payers fetch a bundle in the round after; this long without one is strange, in seconds.
pub(super) const UNFETCHED: u64 = 3_600;
/// With this many shares a bad part of them is no accident.
const MANY_SHARES: u64 = 50;

/// Everything that is wrong, the urgent first.
pub(super) fn problems(facts: &Facts) -> Vec<ProblemView> {
    let mut found: Vec<ProblemView> = Vec::new();
    found.extend(disk(facts));
    found.extend(blocks(facts));
    found.extend(not_accepted(facts));
    match &facts.live {
        None => found.push(hand(
            "node",
            "no node is running here",
            "start it (`orcapool run`, or the Orca task in your Koii node); `orcapool doctor` says what keeps it from starting",
        )),
        Some(live) => {
            found.extend(work(facts, live));
            found.extend(relay(live));
            found.extend(bitcoin_nodes(live));
            found.extend(clock(facts, live));
            found.extend(koii(facts, live));
            found.extend(miners(facts, live));
            found.extend(unfetched(facts));
            found.extend(gateways(&live.gateways));
            found.extend(settling(live));
            found.extend(k2(live));
        }
    }
    found.sort_by_key(|problem| problem.severity);
    found
}

fn problem(
    severity: Severity,
    part: &str,
    what: impl Into<String>,
    todo: impl Into<String>,
) -> ProblemView {
    ProblemView {
        severity,
        part: part.to_owned(),
        what: what.into(),
        todo: todo.into(),
    }
}

fn hand(part: &str, what: impl Into<String>, todo: impl Into<String>) -> ProblemView {
    problem(Severity::Hand, part, what, todo)
}

fn notice(part: &str, what: impl Into<String>, todo: impl Into<String>) -> ProblemView {
    problem(Severity::Notice, part, what, todo)
}

fn disk(facts: &Facts) -> Option<ProblemView> {
    let free = facts.disk_free.filter(|free| *free < LEAST_ROOM)?;
    Some(hand(
        "disk",
        format!("only {} MiB are left for the data directory", free >> 20),
        "make room: without it shares are refused, and none can be paid",
    ))
}

fn blocks(facts: &Facts) -> Vec<ProblemView> {
    let age = |at: u64| facts.now.saturating_sub(at);
    let mut found = Vec::new();
    for block in &facts.blocks {
        if block.waits && age(block.at) > BLOCK_PATIENCE {
            found.push(hand(
                "block",
                format!(
                    "the block {} at height {}, found {}, is with no Bitcoin node yet",
                    block.hash,
                    block.height,
                    ago(facts.now, block.at)
                ),
                "see that a Bitcoin node answers: the block is on disk and offered every minute",
            ));
        }
        if let Some(reason) = block
            .refused
            .as_ref()
            .filter(|_| age(block.at) < REFUSED_TOLD)
        {
            found.push(hand(
                "block",
                format!(
                    "the block {} at height {} was refused: {reason}",
                    block.hash, block.height
                ),
                "compare the versions of Bitcoin node and orcapool, and report it with the node's log: nobody is paid for it",
            ));
        }
    }
    found
}

fn not_accepted(facts: &Facts) -> Option<ProblemView> {
    let round = facts
        .rounds
        .iter()
        .filter(|round| round.seal.is_some())
        .find(|round| round.accepted.is_some())?;
    (round.accepted == Some(false)).then(|| {
        hand(
            "submission",
            format!("this node's bundle of round {} was not accepted", round.round),
            "see what other nodes say of it (`/api/rounds/N/audits` there), and whether they reach this node's port 8080",
        )
    })
}

fn work(facts: &Facts, live: &LiveFact) -> Option<ProblemView> {
    let bitcoin = &live.bitcoin;
    let up = facts.now.saturating_sub(live.started);
    match (bitcoin.template, bitcoin.phase) {
        (_, Phase::Syncing { ppm }) => Some(hand(
            "bitcoin",
            format!("the Bitcoin node is synchronising: {} %", ppm / 10_000),
            "wait: miners get work when it is done; a second node in bitcoin.nodes would give some now",
        )),
        (None, _) => (up > STARTING || bitcoin.error.is_some()).then(|| {
            hand(
                "bitcoin",
                match &bitcoin.error {
                    Some(error) => format!("no Bitcoin node gives work: {error}"),
                    None => "no Bitcoin node has given work yet".to_owned(),
                },
                "start the Bitcoin node, or correct bitcoin.nodes; `orcapool doctor` asks each",
            )
        }),
        (Some(template), _) => {
            // Two refreshes may be missed; the rest is a slow node's answer.
            let stale_after = bitcoin.refresh.saturating_mul(3).saturating_add(30);
            (template.age > stale_after).then(|| {
                hand(
                    "bitcoin",
                    format!(
                        "no new template for {}{}",
                        span(template.age),
                        bitcoin
                            .error
                            .as_ref()
                            .map_or_else(String::new, |error| format!(": {error}"))
                    ),
                    "start the Bitcoin node again: miners work on an old block meanwhile",
                )
            })
        }
    }
}

/// Somebody shows a branch that is not the best: the peers, or whoever feeds the relay.
fn relay(live: &LiveFact) -> Option<ProblemView> {
    let relay = live.bitcoin.relay.as_ref().filter(|relay| relay.is_wrong)?;
    Some(hand(
        "relay",
        relay.words.clone(),
        "compare the tip with a source of your own, and add peers of other operators to bitcoin.peers: where the relay has \
         more work, this node neither mines nor audits until they show as much",
    ))
}

/// Some nodes are away while others serve: miners notice nothing, yet the next failure would stop them.
fn bitcoin_nodes(live: &LiveFact) -> Vec<ProblemView> {
    let nodes = &live.bitcoin.nodes;
    if nodes.iter().all(|(_, trouble)| trouble.is_some()) {
        return Vec::new();
    }
    let away = nodes
        .iter()
        .filter_map(|(name, trouble)| Some((name, trouble.as_ref()?)));
    away.map(|(name, trouble)| {
        notice(
            "bitcoin",
            format!("the Bitcoin node {name} is left alone: {trouble}"),
            "look after it: the others serve alone",
        )
    })
    .collect()
}

fn clock(facts: &Facts, live: &LiveFact) -> Option<ProblemView> {
    let template = live.bitcoin.template?;
    let then = facts.now.saturating_sub(template.age);
    let apart = template.node_time.abs_diff(then);
    (apart > CLOCK_TOLERANCE).then(|| {
        let side = if template.node_time > then {
            "behind"
        } else {
            "ahead of"
        };
        hand(
            "clock",
            format!(
                "this machine's clock is {} {side} its Bitcoin node's",
                span(apart)
            ),
            "let both machines follow a time server: auditors refuse rounds whose times are wrong",
        )
    })
}

fn koii(facts: &Facts, live: &LiveFact) -> Option<ProblemView> {
    let up = facts.now.saturating_sub(live.started);
    let todo = "see that the task runs in your Koii node, that its stake is enough, and that its pod reaches this node";
    let Some(newest) = facts.rounds.first().filter(|_| live.claimed.is_some()) else {
        return (up > FIRST_ROUND).then(|| {
            hand(
                "koii",
                format!(
                    "Koii has opened no round in the {} since the start",
                    span(up)
                ),
                todo,
            )
        });
    };
    // How long a round takes is in the task's configuration on K2; here it is learned.
    let longest = facts
        .rounds
        .iter()
        .filter_map(|round| Some(round.closed?.saturating_sub(round.opened)))
        .max();
    let patience = longest.map_or(UNKNOWN_ROUND, |longest| {
        longest.saturating_mul(ROUND_PATIENCE).max(SHORT_ROUND)
    });
    let open = facts.now.saturating_sub(newest.opened);
    // After a pause of this node itself, Koii is given the same time to come back.
    (open > patience && up > patience).then(|| {
        hand(
            "koii",
            format!(
                "round {} has been open for {}: Koii does not call",
                newest.round,
                span(open)
            ),
            todo,
        )
    })
}

fn miners(facts: &Facts, live: &LiveFact) -> Vec<ProblemView> {
    let miners = &live.miners;
    let up = facts.now.saturating_sub(live.started);
    let mut found = Vec::new();
    let has_work = live.bitcoin.template.is_some() && live.claimed.is_some();
    if has_work && up > STARTING {
        let silent = facts
            .now
            .saturating_sub(miners.last_share.unwrap_or(live.started));
        if miners.sessions == 0 && miners.built_in_rate.is_none() {
            found.push(hand(
                "miners",
                "no miner is connected",
                "point one at this node's Stratum port, or set miner.threads; see \"Your own miner\" in docs/operator.md",
            ));
        } else if silent > FRESH_SHARE {
            found.push(hand(
                "miners",
                format!("no share in {}", span(silent)),
                "see whether the miners run, and whether stratum.start_difficulty is far above what they can do",
            ));
        }
    }
    let all = miners.accepted.saturating_add(miners.rejected);
    if all >= MANY_SHARES && miners.rejected > all / 10 {
        found.push(notice(
            "miners",
            format!(
                "{} of {} were refused since the start",
                miners.rejected,
                count(all, "share", "shares")
            ),
            "the table of miners says which and why: stale ones mean a slow network, others a miner's mistake",
        ));
    }
    found
}

fn unfetched(facts: &Facts) -> Option<ProblemView> {
    // Koii draws few auditors, but everybody who is paid fetches every accepted bundle.
    let is_overdue = |round: &&RoundFact| {
        round.others > 0
            && round.seal.as_ref().is_some_and(|seal| {
                seal.fetched == Some(0) && facts.now.saturating_sub(seal.at) > UNFETCHED
            })
    };
    let round = facts.rounds.iter().find(is_overdue)?;
    Some(notice(
        "content",
        format!(
            "nobody has fetched the bundle of round {} from this node",
            round.round
        ),
        "see that other nodes reach port 8080, and say in http.public_url where: what nobody can fetch is not paid",
    ))
}

fn gateways(gateways: &[GatewayFact]) -> Vec<ProblemView> {
    let away: Vec<_> = gateways
        .iter()
        .filter_map(|gateway| Some((&gateway.url, gateway.trouble.as_ref()?)))
        .collect();
    if !away.is_empty() && away.len() == gateways.len() {
        return vec![hand(
            "gateways",
            match gateways.len() {
                1 => format!("the only gateway, {}, does not answer", gateways[0].url),
                many => format!("none of the {many} gateways answers"),
            },
            "check this machine's network and content.gateways: without one, nothing can be audited and no list be computed",
        )];
    }
    away.into_iter()
        .map(|(url, trouble)| {
            notice(
                "gateways",
                format!("{url} does not answer: {trouble}"),
                "nothing, if it comes back: the others are asked meanwhile",
            )
        })
        .collect()
}

fn settling(live: &LiveFact) -> Option<ProblemView> {
    let trouble = live.settling_trouble.as_ref()?;
    Some(notice(
        "settlement",
        format!("the next round cannot be settled now: {trouble}"),
        "nothing, if it passes: it is tried every minute. If not, see that the bundle's node or a gateway serves it",
    ))
}

fn k2(live: &LiveFact) -> Vec<ProblemView> {
    match &live.k2 {
        None => Vec::new(),
        Some(K2Fact::Away(error)) => vec![notice(
            "k2",
            format!("K2 does not answer: {error}"),
            "check k2.rpc; mining goes on without it",
        )],
        Some(K2Fact::Known {
            agrees: Some(false),
            finalized,
            ..
        }) => vec![hand(
            "k2",
            format!(
                "the root that is in force on K2 for round {} is not what this node computed",
                finalized.unwrap_or_default()
            ),
            "compare `/api/rounds/N/settlement` with other operators' before you attest anything: either this node was told \
             other submissions than they, or they attest what is wrong",
        )],
        Some(K2Fact::Known { .. }) => Vec::new(),
    }
}
