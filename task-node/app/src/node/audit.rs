//! Audits of other nodes' submissions.

use rounds::{AuditUnavailable, AuditVerdict, Auditor, Submission, Submitted, USUAL_SAMPLES};
use store::AuditRecord;

use super::Node;
use crate::refusal::Refusal;
use crate::requests::{AuditRequest, SampleSeed};

impl Node {
    /// Whether a submission is valid. The reason of a `false` is logged and kept (`/api/rounds/{round}/audits`).
    ///
    /// # Errors
    /// This node cannot tell now: its own disk, Bitcoin node or network is in trouble, or the bundle is larger than
    /// what it fetches whole and the request has no seed.
    pub async fn audit(&self, request: AuditRequest) -> Result<bool, Refusal> {
        let submission = &request.submission;
        let (round, node, cid) = (
            submission.round_number,
            submission.staking_key,
            submission.view.cid,
        );
        let verdict = match root(&submission.view.root) {
            _ if submission.task_id != self.task => Err(format!(
                "the submission is for task {}, this node works for {}",
                submission.task_id, self.task
            )),
            None => Err("`root` is not 32 bytes of hex".to_owned()),
            Some(root) => {
                let _one_at_a_time = self.heavy.lock().await;
                let submission = Submission {
                    round,
                    node,
                    submitted: Submitted {
                        cid,
                        shares: submission.view.shares,
                        work: submission.view.work,
                        root,
                    },
                };
                let auditor = self
                    .auditor
                    .asking(request.submission.view.gateway.as_ref());
                self.judge(&auditor, &submission, request.seed)
                    .await
                    .map_err(|error| {
                        tracing::error!(%round, %node, %cid, %error, "no verdict");
                        Refusal::Unavailable(error.to_string())
                    })?
                    .map_err(|failure| failure.to_string())
            }
        };
        match &verdict {
            Ok(summary) => tracing::info!(
                %round, %node, %cid, shares = summary.totals.shares, checked = summary.checked,
                blocks = summary.blocks.len(), "submission is valid"
            ),
            Err(reason) => tracing::warn!(%round, %node, %cid, reason, "submission is NOT valid"),
        }
        let valid = verdict.is_ok();
        self.store
            .record_audit(AuditRecord {
                round,
                node,
                cid,
                valid,
                reason: verdict.err(),
                at: self.clock.now(),
            })
            .await?;
        Ok(valid)
    }

    /// Every share where the bundle is not too large for that, else a sample if there is a seed for one.
    async fn judge(
        &self,
        auditor: &Auditor,
        submission: &Submission,
        seed: Option<SampleSeed>,
    ) -> Result<AuditVerdict, AuditUnavailable> {
        let whole = auditor.audit(submission, self.clock.now()).await;
        match (whole, seed) {
            (Err(AuditUnavailable::TooLarge { .. }), Some(SampleSeed(seed))) => {
                auditor
                    .audit_sample(submission, seed, USUAL_SAMPLES, self.clock.now())
                    .await
            }
            (verdict, _) => verdict,
        }
    }
}

fn root(text: &str) -> Option<[u8; 32]> {
    let mut root = [0; 32];
    hex::decode_to_slice(text, &mut root).ok()?;
    Some(root)
}
