//! `orcapool rounds`

use std::process::ExitCode;

use store::ShareStore as _;

use super::{configuration, output};
use crate::cli::ConfigArgs;
use crate::node::{RoundView, open_store_to_read};

pub(super) async fn run(args: &ConfigArgs, limit: u32, as_json: bool) -> anyhow::Result<ExitCode> {
    let config = configuration(args)?;
    let store = open_store_to_read(&config)?;
    let rounds = store.rounds(limit).await?;
    if !as_json {
        output::line(&format!(
            "{:>12}  {:<6}  {:>9}  {:>16}  {:>10}  bundle",
            "round", "state", "shares", "difficulty", "opened"
        ))?;
    }
    for record in &rounds {
        let view = RoundView::from(record);
        if as_json {
            output::json(&view)?;
        } else {
            output::line(&format!(
                "{:>12}  {:<6}  {:>9}  {:>16.6}  {:>10}  {}",
                view.round,
                view.state,
                view.shares,
                view.difficulty,
                view.opened_at,
                view.cid.as_deref().unwrap_or("-")
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
