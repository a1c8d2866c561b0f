//! `orcapool k2 explain`: a program error in words.

use anyhow::Context as _;
use k2_interface::Refusal;
use k2_interface::instruction::InstructionKind;

use crate::commands::output;

pub(super) fn run(json: bool, instruction: &str, code: u32) -> anyhow::Result<()> {
    let kind = InstructionKind::ALL
        .iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(instruction))
        .with_context(|| {
            let names: Vec<_> = InstructionKind::ALL
                .iter()
                .map(|kind| kind.name())
                .collect();
            format!(
                "no instruction `{instruction}`; there are {}",
                names.join(", ")
            )
        })?;
    let words = Refusal::from_code(code).of(*kind).to_string();
    if json {
        return output::json(&serde_json::json!({
            "instruction": kind.name(), "code": code, "meaning": words,
        }));
    }
    Ok(output::line(&words)?)
}
