//! Drafts and reports, for people and for scripts.

use std::fmt::Write as _;
use std::process::ExitCode;

use bitcoin::{Address, Network, Script};
use custody::reserves::{Backing, Draft, Proof, Report, ScriptTotal, SpentSince};
use serde_json::{Value, json};

use crate::commands::custody::session::Session;
use crate::commands::output;

/// What a draft states.
pub(super) fn draft(session: &Session, what: &str, draft: &Draft) -> anyhow::Result<()> {
    let claim = draft.claim();
    let statement = claim.statement();
    let supply = statement.supply().unwrap_or_default().to_sat();
    let (mature, immature) = (claim.mature().to_sat(), claim.immature().to_sat());
    if session.json {
        return output::json(&json!({
            what: {
                "statement": statement, "coins": claim.coins().len(), "supply": supply,
                "mature": mature, "immature": immature, "signed": signed(draft),
            },
        }));
    }
    let mut text = format!(
        "proof of reserves, {what}\n\
         Bitcoin      {} block {} {}\n\
         K2           cluster {}, slot {}\n\
         program      {}\n\
         supply       {supply:>16} sat\n\
         reserves     {mature:>16} sat in {} coins, and {immature} sat immature\n",
        statement.bitcoin,
        statement.height,
        statement.block,
        statement.k2,
        statement.slot,
        statement.program,
        claim.coins().len(),
    );
    for paid in &statement.paid {
        let _ = writeln!(
            text,
            "paid         redemptions {:?} by {} in block {}, not settled on K2 yet",
            paid.ids, paid.txid, paid.height
        );
    }
    let _ = write!(
        text,
        "pays         nobody: its first input cannot exist ({})",
        statement.challenge().txid
    );
    Ok(output::line(&text)?)
}

fn signed(draft: &Draft) -> Value {
    let signed = draft.signed();
    let signed = signed
        .iter()
        .map(|(key, coins)| (key.to_string(), json!(coins)));
    Value::Object(signed.collect())
}

/// The proof is not valid.
pub(super) fn refused(session: &Session, why: &str) -> anyhow::Result<ExitCode> {
    if session.json {
        output::json(&json!({ "backed": false, "refused": why }))?;
    } else {
        output::line(&format!("NOT PROVED: {why}"))?;
    }
    Ok(ExitCode::from(1))
}

/// A valid proof shows this. `now`: the verifier's own height and slot.
pub(super) fn report(
    session: &Session,
    proof: &Proof,
    report: &Report,
    now: (u32, u64),
    then: bool,
) -> anyhow::Result<ExitCode> {
    let backed = report.then.is_backed() && (then || report.now.is_backed());
    let statement = proof.claim().statement();
    if session.json {
        output::json(&json!({
            "backed": backed,
            "judged": if then { "then" } else { "now" },
            "statement": statement,
            "then": numbers(&report.then, statement.height, statement.slot),
            "now": numbers(&report.now, now.0, now.1),
            "scripts": report.scripts.iter().map(|total| script(total, statement.bitcoin)).collect::<Vec<_>>(),
            "spent": report.spent,
            "of_descriptor": report.of_descriptor,
        }))?;
    } else {
        output::line(&text(proof, report, now, then))?;
    }
    Ok(ExitCode::from(u8::from(!backed)))
}

fn numbers(backing: &Backing, height: u32, slot: u64) -> Value {
    json!({
        "height": height,
        "slot": slot,
        "supply": backing.supply.to_sat(),
        "in_flight": backing.in_flight.to_sat(),
        "owed": backing.owed().to_sat(),
        "reserves": backing.reserves.to_sat(),
        "immature": backing.immature.to_sat(),
        "missing": backing.missing().to_sat(),
        "ratio_ppm": backing.ratio_ppm(),
        "backed": backing.is_backed(),
    })
}

fn script(total: &ScriptTotal, network: Network) -> Value {
    json!({
        "script": total.script.to_hex_string(),
        "address": address(&total.script, network),
        "registered": total.registered,
        "coins": total.coins,
        "amount": total.amount.to_sat(),
    })
}

fn address(script: &Script, network: Network) -> String {
    Address::from_script(script, network)
        .map_or_else(|_| script.to_hex_string(), |address| address.to_string())
}

fn text(proof: &Proof, report: &Report, (height, slot): (u32, u64), then: bool) -> String {
    let statement = proof.claim().statement();
    let sides = [&report.then, &report.now];
    let mut text = format!(
        "Bitcoin      {}, block {} {}\n\
         K2           cluster {}, program {}, token {}\n\
         signatures   valid, for this statement only\n\n\
         {:<26}{:>22}{:>22}\n",
        statement.bitcoin,
        statement.height,
        statement.block,
        statement.k2,
        statement.program,
        statement.mint,
        "",
        "at the proof",
        "now",
    );
    let mut row = |name: &str, values: [String; 2]| {
        let _ = writeln!(text, "{name:<26}{:>22}{:>22}", values[0], values[1]);
    };
    let sat = |amount: fn(&Backing) -> bitcoin::Amount| {
        sides.map(|side| format!("{} sat", amount(side).to_sat()))
    };
    row("block", [statement.height.to_string(), height.to_string()]);
    row("slot", [statement.slot.to_string(), slot.to_string()]);
    row("supply", sat(|side| side.supply));
    row("paid, not settled", sat(|side| side.in_flight));
    row("reserves must be", sat(Backing::owed));
    row("reserves are", sat(|side| side.reserves));
    row("immature, not counted", sat(|side| side.immature));
    row("ratio", sides.map(|side| ratio(side.ratio_ppm())));
    text.push('\n');
    for total in &report.scripts {
        let known = if total.registered {
            "registered on K2"
        } else if report.of_descriptor == Some(true) {
            "change: of the descriptor"
        } else {
            "not known to K2: change, or anybody's (--descriptor tells)"
        };
        let _ = writeln!(
            text,
            "{:>16} sat in {} coins at {} ({known})",
            total.amount.to_sat(),
            total.coins,
            address(&total.script, statement.bitcoin),
        );
    }
    for spent in &report.spent {
        let _ = writeln!(text, "{}", spending(spent));
    }
    text.push('\n');
    text.push_str(&verdict(report, then));
    text
}

/// In per cent, to the millionth.
fn ratio(ppm: Option<u64>) -> String {
    match ppm {
        Some(ppm) => format!("{}.{:04} %", ppm / 10_000, ppm % 10_000),
        None => "nothing is owed".to_owned(),
    }
}

fn spending(spent: &SpentSince) -> String {
    let by = if spent.redemptions.is_empty() {
        "names no redemption: a sweep, or a theft".to_owned()
    } else {
        format!("a payout of redemptions {:?}", spent.redemptions)
    };
    format!(
        "{:>16} sat spent since: {} by {} in block {} ({by})",
        spent.amount.to_sat(),
        spent.outpoint,
        spent.by,
        spent.height,
    )
}

fn verdict(report: &Report, then: bool) -> String {
    let missing = |side: &Backing| side.missing().to_sat();
    if !report.then.is_backed() {
        return format!(
            "NOT BACKED: at the proof's block {} sat were missing",
            missing(&report.then)
        );
    }
    if then {
        return "backed at the proof's block, if the supply was what the custodians state"
            .to_owned();
    }
    if report.now.is_backed() {
        return "backed".to_owned();
    }
    let why = if report.spent.is_empty() {
        "the supply has grown since"
    } else {
        "coins were spent since, and where their change went no signature of this proof can show"
    };
    format!(
        "NOT PROVED NOW: backed at the proof's block, but today {} sat are not covered: {why}. Ask for a newer proof, or judge \
         it as of its block with --then",
        missing(&report.now)
    )
}
