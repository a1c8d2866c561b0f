//! Steps of authority, guardian and custody.

use k2_interface::state::{CustodyScripts, Pause};
use solana_sdk_ids::system_program;

use super::{CUSTODY_DELAY, GRACE, Planned, Walk};
use crate::scripts;

impl Walk {
    /// Keys change hands, something is paused or goes on.
    #[track_caller]
    pub(super) fn plan_admin(&mut self) -> Option<Planned> {
        let authority = self.mostly(self.model.authority);
        let is_authority = authority == self.model.authority;
        let flags = self.rng.below(20) as u8;
        let known = flags != 0 && flags & !Pause::ALL == 0;
        match self.rng.below(8) {
            0 | 1 => {
                let by =
                    *self
                        .rng
                        .pick(&[self.model.guardian, self.model.authority, self.stranger]);
                let call = self.world.pause(by, flags);
                Planned::new(call, known && by != self.stranger, move |model| {
                    model.paused |= flags
                })
            }
            2 => self.plan_resumption(),
            3 | 4 => {
                let names = ["first authority", "second authority"];
                let name = *self.rng.pick(&names);
                let next = self.world.somebody(name);
                let next = if self.rng.chance(20) {
                    system_program::ID
                } else {
                    next
                };
                let call = self
                    .world
                    .propose_authority(next)
                    .with("authority", authority);
                Planned::new(call, is_authority, move |model| {
                    model.pending_authority = Some(next).filter(|next| *next != system_program::ID);
                })
            }
            5 | 6 => {
                let pending = self.model.pending_authority;
                let by = self.mostly(pending.unwrap_or(self.stranger));
                let call = self.world.accept_authority(by);
                let allowed = pending == Some(by);
                if allowed {
                    self.world.authority = by;
                }
                Planned::new(call, allowed, move |model| {
                    model.authority = by;
                    model.pending_authority = None;
                })
            }
            _ => {
                let names = ["first guardian", "second guardian"];
                let name = *self.rng.pick(&names);
                let next = self.world.somebody(name);
                let call = self.world.set_guardian(next).with("authority", authority);
                if is_authority {
                    self.world.guardian = next;
                }
                Planned::new(call, is_authority, move |model| model.guardian = next)
            }
        }
    }

    /// Everything goes on.
    #[track_caller]
    pub(super) fn plan_resumption(&mut self) -> Option<Planned> {
        let by = self.mostly(self.model.authority);
        let call = self.world.resume(by, Pause::ALL);
        Planned::new(call, by == self.model.authority, |model| model.paused = 0)
    }

    /// Custody scripts are announced, taken back, put in force.
    #[track_caller]
    pub(super) fn plan_custody(&mut self) -> Option<Planned> {
        let slot = self.slot();
        match self.rng.below(9) {
            0..=2 => {
                let by = self.mostly(self.model.authority);
                let names = ["one", "two", "three", "four", "five", "six"];
                let [first, second] = [(); 2].map(|()| *self.rng.pick(&names));
                let coinbase = scripts::p2wsh(first);
                let deposit = if self.rng.chance(25) {
                    scripts::NONE
                } else {
                    scripts::p2wsh(second)
                };
                let new = CustodyScripts { coinbase, deposit };
                let call = self
                    .world
                    .propose_custody(coinbase, deposit)
                    .with("authority", by);
                let previous = self.model.previous.map(|(previous, _)| previous);
                let mixes = [Some(self.model.active), previous]
                    .iter()
                    .flatten()
                    .any(|old| new.coinbase == old.deposit || new.deposit == old.coinbase);
                let allowed = by == self.model.authority
                    && coinbase != deposit
                    && new != self.model.active
                    && !mixes;
                Planned::new(call, allowed, move |model| {
                    model.pending = Some((new, slot + CUSTODY_DELAY))
                })
            }
            3 => {
                let by =
                    *self
                        .rng
                        .pick(&[self.model.guardian, self.model.authority, self.stranger]);
                let call = self.world.cancel_custody(by);
                let allowed = self.model.pending.is_some() && by != self.stranger;
                Planned::new(call, allowed, |model| model.pending = None)
            }
            _ => {
                if self.model.pending.is_some() && self.rng.chance(60) {
                    self.world.wait(CUSTODY_DELAY);
                }
                let slot = self.slot();
                let call = self.world.activate_custody();
                let allowed = self.model.pending.is_some_and(|(_, from)| slot >= from);
                let until = self.tip() + GRACE;
                Planned::new(call, allowed, move |model| {
                    let (next, _) = model.pending.take().unwrap();
                    model.previous = Some((std::mem::replace(&mut model.active, next), until));
                })
            }
        }
    }
}
