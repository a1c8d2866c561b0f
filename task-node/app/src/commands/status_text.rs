//! A node's status for a terminal.

use crate::status::{Severity, StatusView, Verdict};

/// The four questions and their answers, without a line end.
pub(super) fn text(status: &StatusView) -> String {
    let mut lines = vec![
        format!(
            "node {}  task {}  orcapool {}",
            status.node, status.task, status.version
        ),
        String::new(),
    ];
    if !status.running {
        lines.push("This is what the store knew when the node last ran.".to_owned());
        lines.push(String::new());
    }
    let questions = [
        ("Am I mining?", status.mining.answer, &status.mining.lines),
        (
            "Is my last submission accepted?",
            status.submission.answer,
            &status.submission.lines,
        ),
        (
            "What did I earn?",
            status.earnings.answer,
            &status.earnings.lines,
        ),
    ];
    for (question, answer, said) in questions {
        // Whether something was earned is no yes or no.
        lines.push(match question {
            "What did I earn?" => question.to_owned(),
            _ => format!("{question}  {}", word(answer)),
        });
        lines.extend(said.iter().map(|line| format!("    {line}")));
    }
    let hands = status
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Hand)
        .count();
    lines.push(format!(
        "What needs my hand?  {}",
        match hands {
            0 => "nothing".to_owned(),
            1 => "1 thing".to_owned(),
            many => format!("{many} things"),
        }
    ));
    for problem in &status.problems {
        let mark = match problem.severity {
            Severity::Hand => "PROBLEM",
            Severity::Notice => "notice ",
        };
        lines.push(format!("    {mark}  {}: {}", problem.part, problem.what));
        lines.push(format!("             {}", problem.todo));
    }
    // What another machine says may not move the cursor.
    let printable = |line: &String| line.replace(char::is_control, "?");
    lines.iter().map(printable).collect::<Vec<_>>().join("\n")
}

const fn word(answer: Verdict) -> &'static str {
    match answer {
        Verdict::Yes => "yes",
        Verdict::No => "NO",
        Verdict::NotYet => "not yet",
        Verdict::Unknown => "nobody knows yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Facts, LiveFact, answer};

    #[test]
    fn the_four_questions_are_asked_in_order() {
        let text = text(&answer(&Facts {
            live: Some(LiveFact::default()),
            ..Facts::default()
        }));
        let mut from = 0;
        for question in [
            "Am I mining?  NO",
            "Is my last submission accepted?  nobody knows yet",
            "What did I earn?\n",
            "What needs my hand?  nothing",
        ] {
            let at = text[from..].find(question);
            assert!(at.is_some(), "{question}\n{text}");
            from += at.unwrap_or_default();
        }
    }

    #[test]
    fn another_machine_s_words_do_not_move_the_cursor() {
        let mut status = answer(&Facts::default());
        status.version = "1\u{1b}[2J\r\n".to_owned();
        let text = text(&status);
        assert!(
            text.starts_with("node   task   orcapool 1?[2J??\n"),
            "{text}"
        );
        assert!(text.contains("when the node last ran"));
    }
}
