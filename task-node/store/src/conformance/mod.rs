//! The suite any [`ShareStore`] is held to.
//!
//! A store's own tests implement [`Backend`] and call [`run`]; a failing case panics with what differed. Each case opens a
//! store of its own name, so they may run against one server. What depends on a single store's means (locks, full disks,
//! kills) is tested where that store is.

// This is test code that is compiled as a library so that other crates can use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod fixture;
mod outcomes;
mod rounds;
mod settlements;
mod shares;

use std::sync::Arc;

use async_trait::async_trait;

use crate::ShareStore;

/// Opens stores for [`run`].
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the store of this name for [`fixture::identity`], empty when it is opened for the first time. A case never has
    /// the same name open twice, and opens it again only after it has dropped it.
    async fn open(&self, name: &str) -> Arc<dyn ShareStore>;
}

/// Holds a store to every case.
pub async fn run(backend: &dyn Backend) {
    rounds::boots_never_repeat(backend).await;
    rounds::rounds_only_move_forward(backend).await;
    rounds::a_round_goes_from_open_to_sealed(backend).await;
    rounds::a_seal_is_final(backend).await;
    rounds::newest_rounds_come_first(backend).await;
    shares::a_share_comes_back_as_it_went_in(backend).await;
    shares::a_header_counts_once(backend).await;
    shares::a_header_counts_once_however_many_send_it(backend).await;
    shares::a_closed_round_takes_no_share(backend).await;
    shares::closing_is_a_clean_cut(backend).await;
    shares::what_does_not_belong_is_refused(backend).await;
    shares::a_failing_neighbour_harms_nobody(backend).await;
    shares::statistics_add_up(backend).await;
    outcomes::blocks(backend).await;
    outcomes::audits(backend).await;
    outcomes::accepted(backend).await;
    outcomes::distributions(backend).await;
    settlements::settlements_are_final_and_in_order(backend).await;
    settlements::the_first_round_is_fixed_by_the_first_settlement(backend).await;
}
