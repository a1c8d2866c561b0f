//! The operator's four questions: am I mining, is my last submission accepted, what did I earn, what needs my hand.
//!
//! `answer` is a pure function from what is known (`Facts`) to what is said ([`StatusView`]). `GET /api/status`, the
//! dashboard and `orcapool status` all say the same, because none of them words anything itself.

mod answers;
mod facts;
mod problems;
mod views;
mod words;

pub(crate) use facts::{
    AuditsFact, BitcoinFact, BlockFact, EarnedFact, Facts, GatewayFact, K2Fact, LiveFact,
    MinersFact, Phase, RelayFact, RoundFact, SealFact, SettledFact, TemplateFact,
};
pub use views::{
    EarningsView, MiningView, ProblemView, Severity, StatusView, SubmissionStatusView, Verdict,
};

/// What is said of these facts.
#[must_use]
pub(crate) fn answer(facts: &Facts) -> StatusView {
    let problems = problems::problems(facts);
    StatusView {
        node: facts.node.clone(),
        task: facts.task.clone(),
        version: facts.version.clone(),
        now: facts.now,
        running: facts.live.is_some(),
        well: !problems
            .iter()
            .any(|problem| problem.severity == Severity::Hand),
        mining: answers::mining(facts),
        submission: answers::submission(facts),
        earnings: answers::earnings(facts),
        problems,
    }
}

#[cfg(test)]
mod tests;
