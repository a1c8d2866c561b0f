//! The steps of a payout at which a test may end the process.
//!
//! A payout has to survive a power cut between any two writes, or between a write and what it announced. Every such place is
//! a *point*, and a program may be told of each as it is reached. `orcapool` never asks for it; the program that does is a
//! part of the end-to-end tests, which ends itself at a chosen point as by `kill -9`. So no build of `orcapool`, with whatever
//! features, can be told by its surroundings to end in the middle of a payment.

use std::sync::OnceLock;

/// What is told of each point.
pub type Observer = fn(Side, &'static str);

/// Where a point stands to its act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The act is about to begin.
    Before,
    /// Half of the act is done.
    Amid,
    /// The act is done.
    After,
}

impl Side {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Amid => "amid",
            Self::After => "after",
        }
    }
}

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Tells `observer` of every point from now on. The first one stays.
pub fn observe(observer: Observer) {
    let _ = OBSERVER.set(observer);
}

/// An act with a point before and a point after it.
pub fn around<T>(name: &'static str, act: impl FnOnce() -> T) -> T {
    point(Side::Before, name);
    let done = act();
    point(Side::After, name);
    done
}

/// A place between two acts that must both happen, or be done again.
pub fn point(side: Side, act: &'static str) {
    if let Some(observer) = OBSERVER.get() {
        observer(side, act);
    }
}
