//! The way in for fuzzing: any bytes, as a client could send them.

use crate::{Action, Moment, Session};

/// Feeds `bytes` to a session line by line, as the codec would, until the session ends.
pub fn feed(session: &mut Session, bytes: &[u8], now: Moment) -> Vec<Action> {
    let mut actions = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        actions.extend(session.on_line(line, now));
        if matches!(actions.last(), Some(Action::Disconnect(_))) {
            break;
        }
    }
    actions
}
