//! The first three answers.

use super::facts::{
    AuditsFact, BitcoinFact, Facts, K2Fact, LiveFact, Phase, RelayFact, RoundFact, SettledFact,
};
use super::views::{EarningsView, MiningView, SubmissionStatusView, Verdict};
use super::words::{ago, count, rate, sats, span};

/// A share in this time means that miners are at work, in seconds.
pub(super) const FRESH_SHARE: u64 = 600;

/// The relay is read every half minute; what is older than this, in seconds, is said to be.
const OLD_RELAY: u64 = 120;

/// Am I mining?
pub(super) fn mining(facts: &Facts) -> MiningView {
    let newest = facts.rounds.first();
    let mut view = MiningView {
        answer: Verdict::No,
        lines: Vec::new(),
        round: None,
        height: None,
        template_age: None,
        relay_agrees: None,
        sessions: 0,
        stratum_hash_rate: 0.0,
        built_in_hash_rate: None,
        last_share: None,
        round_shares: newest.map_or(0, |round| round.shares),
        blocks: facts.blocks.len(),
    };
    match &facts.live {
        None => {
            view.answer = Verdict::No;
            view.lines.push("no node is running".to_owned());
            if let Some(round) = newest {
                view.lines
                    .push(format!("its store ends with {}", of_round(round)));
            }
        }
        Some(live) => {
            view.round = live.claimed;
            view.height = live.bitcoin.template.map(|template| template.height);
            view.template_age = live.bitcoin.template.map(|template| template.age);
            view.sessions = live.miners.sessions;
            view.stratum_hash_rate = finite(live.miners.stratum_rate);
            view.built_in_hash_rate = live.miners.built_in_rate.map(finite);
            view.last_share = live.miners.last_share;
            let (answer, line) = at_work(facts, live);
            view.answer = answer;
            view.lines.push(line);
            if let Some(relay) = &live.bitcoin.relay {
                view.relay_agrees = Some(!relay.is_wrong);
                view.lines.push(of_relay(relay));
            }
            view.lines.push(miners(facts.now, live));
            if let Some(round) = newest {
                view.lines.push(of_round(round));
            }
        }
    }
    view.lines.push(blocks(facts));
    view
}

fn of_relay(relay: &RelayFact) -> String {
    if relay.age > OLD_RELAY {
        return format!("{} (K2 showed it {} ago)", relay.words, span(relay.age));
    }
    relay.words.clone()
}

/// JSON has no word for what is no number.
fn finite(rate: f64) -> f64 {
    if rate.is_finite() { rate } else { 0.0 }
}

fn at_work(facts: &Facts, live: &LiveFact) -> (Verdict, String) {
    let Some(template) = live.bitcoin.template else {
        return (Verdict::No, without_template(&live.bitcoin));
    };
    let Some(round) = live.claimed else {
        return (
            Verdict::NotYet,
            format!(
                "there is work for height {}, but Koii has not opened a round yet",
                template.height
            ),
        );
    };
    let place = format!(
        "for round {round} at height {}, on a template {} old",
        template.height,
        span(template.age)
    );
    let miners = &live.miners;
    let is_fresh = |at: u64| facts.now.saturating_sub(at) <= FRESH_SHARE;
    match miners.last_share {
        Some(at) if is_fresh(at) => (Verdict::Yes, place),
        _ if miners.sessions == 0 && miners.built_in_rate.is_none() => (
            Verdict::No,
            format!("there is work {place}, but no miner is connected"),
        ),
        _ => (
            Verdict::NotYet,
            format!(
                "miners work {place}, but no share has come in {} min",
                FRESH_SHARE / 60
            ),
        ),
    }
}

fn without_template(bitcoin: &BitcoinFact) -> String {
    match (bitcoin.phase, &bitcoin.error) {
        (Phase::Syncing { ppm }, _) => format!(
            "the Bitcoin node is synchronising: {}.{:02} %",
            ppm / 10_000,
            ppm % 10_000 / 100
        ),
        (_, Some(error)) => format!("no Bitcoin node gives work: {error}"),
        (_, None) => "no Bitcoin node has given work yet".to_owned(),
    }
}

fn miners(now: u64, live: &LiveFact) -> String {
    let miners = &live.miners;
    let mut parts = Vec::new();
    if let Some(built_in) = miners.built_in_rate {
        parts.push(format!("built-in miner {}", rate(built_in)));
    }
    parts.push(match miners.sessions {
        0 => "nobody on Stratum".to_owned(),
        sessions => format!(
            "{} in {} on Stratum, {}",
            count(miners.workers as u64, "worker", "workers"),
            count(sessions as u64, "session", "sessions"),
            rate(miners.stratum_rate)
        ),
    });
    parts.push(miners.last_share.map_or_else(
        || "no share since the start".to_owned(),
        |at| format!("last share {}", ago(now, at)),
    ));
    parts.join("; ")
}

fn of_round(round: &RoundFact) -> String {
    format!(
        "round {}: {} of difficulty {:.6} in all",
        round.round,
        count(round.shares, "share", "shares"),
        round.difficulty
    )
}

fn blocks(facts: &Facts) -> String {
    let Some(last) = facts.blocks.first() else {
        return "no block found yet".to_owned();
    };
    let outcome = if last.waits {
        "no node has it yet".to_owned()
    } else if let Some(reason) = &last.refused {
        format!("refused: {reason}")
    } else if last.stale {
        "another one won".to_owned()
    } else {
        "accepted".to_owned()
    };
    format!(
        "{} found; the last one at height {}, {}, {outcome}",
        count(facts.blocks.len() as u64, "block", "blocks"),
        last.height,
        ago(facts.now, last.at)
    )
}

/// Is my last submission accepted?
pub(super) fn submission(facts: &Facts) -> SubmissionStatusView {
    let sealed = |round: &&RoundFact| round.seal.is_some();
    let newest = facts.rounds.iter().find(sealed);
    let decided = facts
        .rounds
        .iter()
        .filter(sealed)
        .find_map(|round| round.accepted.map(|accepted| (round, accepted)));
    let mut lines = Vec::new();
    let answer = match (decided, newest) {
        (Some((_, true)), _) => Verdict::Yes,
        (Some((_, false)), _) => Verdict::No,
        (None, Some(_)) => Verdict::NotYet,
        (None, None) => Verdict::Unknown,
    };
    match decided {
        Some((round, true)) => lines.push(format!(
            "that of round {} is, with {}",
            round.round,
            count(
                round.others as u64,
                "other operator's",
                "other operators' ones"
            )
        )),
        Some((round, false)) => lines.push(format!(
            "that of round {} is NOT among the {} that Koii accepted",
            round.round, round.others
        )),
        None => {}
    }
    let seal = newest.and_then(|round| round.seal.as_ref());
    if let (Some(round), Some(seal)) = (newest, seal) {
        if round.accepted.is_none() {
            lines.push(format!(
                "round {} was sealed {}: Koii decides about it in the rounds after",
                round.round,
                ago(facts.now, seal.at)
            ));
        }
        lines.push(format!(
            "bundle {} of {}{}",
            seal.cid,
            count(round.shares, "share", "shares"),
            match seal.fetched {
                None => String::new(),
                Some(0) => ", not fetched from here yet".to_owned(),
                Some(times) => format!(", fetched from here {}", count(times, "time", "times")),
            }
        ));
        let AuditsFact { valid, invalid } = facts.audits;
        if valid + invalid > 0 {
            lines.push(format!(
                "of the others' submissions in that round this node found {valid} valid, {invalid} not"
            ));
        }
    } else {
        lines.push("no round was sealed yet: Koii asks for it when a round is over".to_owned());
    }
    SubmissionStatusView {
        answer,
        lines,
        round: newest.map(|round| round.round),
        cid: seal.map(|seal| seal.cid.clone()),
        sealed_at: seal.map(|seal| seal.at),
        fetched: seal.and_then(|seal| seal.fetched),
        decided_round: decided.map(|(round, _)| round.round),
    }
}

/// What did I earn?
pub(super) fn earnings(facts: &Facts) -> EarningsView {
    let earned = &facts.earned;
    let mut lines = Vec::new();
    match earned.settled {
        None => lines.push(
            "nothing is settled yet: a block pays once 100 blocks are on top of it".to_owned(),
        ),
        Some(settled) => {
            lines.push(format!(
                "up to round {}, final: {} as operator, {} as miner",
                settled.round,
                sats(settled.operator),
                sats(settled.miner)
            ));
            if let Some(before) = earned.before {
                lines.push(format!(
                    "of it in round {}: {}",
                    settled.round,
                    sats(total(settled).saturating_sub(total(before)))
                ));
            }
        }
    }
    if let Some((round, amount)) = earned.bounty {
        lines.push(format!(
            "from Koii for round {round}: {amount} of the bounty's smallest units"
        ));
    }
    let (mut claimed, mut claimable) = (None, None);
    match facts.live.as_ref().and_then(|live| live.k2.as_ref()) {
        None => {}
        Some(K2Fact::Away(_)) => {
            lines.push("K2 does not answer: what is claimed is not known now".to_owned());
        }
        Some(K2Fact::Known {
            finalized,
            claimed: before,
            claimable: now,
            ..
        }) => {
            (claimed, claimable) = (Some(*before), *now);
            lines.push(match (finalized, now) {
                (None, _) => "on K2 no round is finalized yet".to_owned(),
                (Some(round), Some(0)) => format!(
                    "on K2, finalized up to round {round}: {} claimed, nothing left to claim",
                    sats(*before)
                ),
                (Some(round), Some(now)) => format!(
                    "on K2, finalized up to round {round}: {} claimed, {} to be claimed with `orcapool k2 claim`",
                    sats(*before),
                    sats(*now)
                ),
                (Some(round), None) => format!(
                    "on K2, finalized up to round {round}: {} claimed; this node has not settled that round",
                    sats(*before)
                ),
            });
        }
    }
    let settled = earned.settled.unwrap_or_default();
    EarningsView {
        answer: match earned.settled {
            None => Verdict::NotYet,
            Some(settled) if total(settled) == 0 => Verdict::NotYet,
            Some(_) => Verdict::Yes,
        },
        lines,
        settled_round: earned.settled.map(|settled| settled.round),
        operator: settled.operator,
        miner: settled.miner,
        claimed,
        claimable,
    }
}

fn total(settled: SettledFact) -> u64 {
    settled.operator.saturating_add(settled.miner)
}
