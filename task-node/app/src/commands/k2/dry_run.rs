//! What `--dry-run` shows: the fields of each account that would change.

use k2_client::DryRun;
use serde_json::Value;

/// A simulation in words.
pub(super) fn text(action: &str, run: &DryRun) -> String {
    let units = run
        .units
        .map_or_else(|| "unknown".to_owned(), |units| units.to_string());
    let mut text = match &run.failure {
        Some(failure) => format!("{action} would fail: {failure}\n"),
        None => format!(
            "{action} would take {units} compute units and {} bytes, and change:\n",
            run.size
        ),
    };
    for change in &run.changes {
        text.push_str(&format!("  {}\n", change.address));
        let mut lines = Vec::new();
        if change.lamports_before != change.lamports_after {
            lines.push(format!(
                "lamports: {} -> {}",
                change.lamports_before, change.lamports_after
            ));
        }
        let as_value = |view: &Option<_>| serde_json::to_value(view).unwrap_or_default();
        differences(
            "",
            &as_value(&change.before),
            &as_value(&change.after),
            &mut lines,
        );
        for line in lines {
            text.push_str(&format!("    {line}\n"));
        }
    }
    if run.failure.is_some() {
        for log in &run.logs {
            text.push_str(&format!("  {log}\n"));
        }
    }
    text
}

/// Every leaf of the two values that differs, by its path.
fn differences(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    if let (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) = (before, after) {
        let keys = |value: &Value| -> Vec<String> {
            let map = value.as_object();
            map.map(|map| map.keys().cloned().collect())
                .unwrap_or_default()
        };
        let mut all = keys(before);
        all.extend(
            keys(after)
                .into_iter()
                .filter(|key| before.get(key).is_none()),
        );
        for key in all {
            let dot = if path.is_empty() { "" } else { "." };
            differences(
                &format!("{path}{dot}{key}"),
                before.get(&key).unwrap_or(&Value::Null),
                after.get(&key).unwrap_or(&Value::Null),
                lines,
            );
        }
        return;
    }
    let word = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        // A relay's ring or an operators' set would fill the screen.
        Value::Array(items) if items.len() > 4 => format!("{} entries", items.len()),
        other => other.to_string(),
    };
    lines.push(format!("{path}: {} -> {}", word(before), word(after)));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::differences;

    #[test]
    fn only_what_differs_is_shown() {
        let before = json!({ "totals": { "claimed": 1, "burned": 0 }, "paused": [] });
        let after = json!({ "totals": { "claimed": 5, "burned": 0 }, "paused": ["mint"] });
        let mut lines = Vec::new();
        differences("", &before, &after, &mut lines);
        assert_eq!(
            lines,
            ["paused: [] -> [\"mint\"]", "totals.claimed: 1 -> 5"]
        );
        lines.clear();
        differences("", &Value::Null, &json!({ "owner": "a" }), &mut lines);
        assert_eq!(lines, ["owner: nothing -> a"]);
    }
}
