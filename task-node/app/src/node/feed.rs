//! Joins templates and rounds into what sessions mine on.

use std::sync::Arc;

use chain::TemplateFeed;
use stratum::CurrentWork;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use work::{K2Address, LiveTemplate, PayoutScript, PoolTag, RoundNumber, TaskId};

/// What every job of this node has in common.
#[derive(Debug, Clone)]
pub(super) struct JobConstants {
    pub(super) task: TaskId,
    pub(super) node: K2Address,
    pub(super) payout: PayoutScript,
    pub(super) pool_tag: PoolTag,
}

/// Publishes work whenever the template or the round changes, until `stop`.
///
/// Without an open round there is no work: a share that claims no round could not be paid. A template that the watch took
/// back ends it too.
pub(super) async fn run(
    constants: JobConstants,
    mut templates: TemplateFeed,
    mut round: watch::Receiver<Option<RoundNumber>>,
    work: watch::Sender<Option<Arc<CurrentWork>>>,
    stop: CancellationToken,
) {
    let mut template: Option<Arc<LiveTemplate>> = None;
    let mut status = templates.status();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            update = templates.next() => match update {
                None => break,
                Some(update) => {
                    match LiveTemplate::new(update.template, &constants.payout, constants.pool_tag.clone()) {
                        Ok(live) => {
                            if update.clean {
                                tracing::info!(
                                    height = live.block().height(),
                                    transactions = live.block().transactions().len(),
                                    value = live.block().coinbase_value().to_sat(),
                                    node = %update.node,
                                    "new block template"
                                );
                            }
                            template = Some(Arc::new(live));
                        }
                        Err(error) => {
                            tracing::error!(%error, node = %update.node, "template not usable");
                            continue;
                        }
                    }
                }
            },
            changed = round.changed() => if changed.is_err() { break },
            changed = status.changed() => {
                if changed.is_err() {
                    break;
                }
                if templates.latest().is_some() || template.take().is_none() {
                    continue;
                }
                tracing::error!("miners are let go: what they worked on is not to be mined");
                work.send_replace(None);
            }
        }
        let current = *round.borrow_and_update();
        if let (Some(template), Some(round)) = (&template, current) {
            work.send_replace(Some(Arc::new(CurrentWork::new(
                Arc::clone(template),
                constants.task,
                constants.node,
                round,
            ))));
        }
    }
}
