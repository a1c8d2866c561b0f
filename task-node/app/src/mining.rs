//! temp
use crate::config::MinerSettings;
use stratum::{PortSettings, Server};
use tokio_util::sync::CancellationToken;
pub(crate) async fn built_in(
    _s: MinerSettings,
    _server: Server,
    _p: PortSettings,
    _c: CancellationToken,
) {
}
