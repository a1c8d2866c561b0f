//! Who may come in: how many from where, and who has to stay away for a while.
//!
//! A farm behind one address shares its fate, so a single mistake bans nobody: points add up to a ban and are forgotten at
//! ten a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Points at which an address is banned.
const BAN_AT: u32 = 100;
/// Points forgotten per minute.
const FORGIVEN_PER_MINUTE: u64 = 10;
/// Addresses remembered for their points.
const MAX_OFFENDERS: usize = 16_384;

/// One subscriber line: an IPv4 address, or the /64 an IPv6 client can pick its addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin(u128);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() >> 64 << 64),
        }
    }
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    #[error("banned")]
    Banned,
    #[error("too many connections from this address")]
    TooMany,
}

/// The door. Pure: time comes in as a parameter.
#[derive(Debug)]
pub(crate) struct Bouncer {
    max_per_origin: usize,
    ban: Duration,
    inside: HashMap<Origin, usize>,
    offenders: HashMap<Origin, Offender>,
}

#[derive(Debug, Clone, Copy)]
struct Offender {
    points: u32,
    updated: Duration,
    banned_until: Option<Duration>,
}

impl Offender {
    fn points(&self, now: Duration) -> u32 {
        let minutes_tenths = now.saturating_sub(self.updated).as_secs() * FORGIVEN_PER_MINUTE / 60;
        self.points
            .saturating_sub(u32::try_from(minutes_tenths).unwrap_or(u32::MAX))
    }

    fn is_banned(&self, now: Duration) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }
}

impl Bouncer {
    pub(crate) fn new(max_per_origin: usize, ban: Duration) -> Self {
        Self {
            // At least one: a server that lets nobody in is a typing error.
            max_per_origin: max_per_origin.max(1),
            ban,
            inside: HashMap::new(),
            offenders: HashMap::new(),
        }
    }

    /// A client wants in; whoever is let in is to be [`Self::leave`]d.
    pub(crate) fn enter(&mut self, origin: Origin, now: Duration) -> Result<(), TurnedAway> {
        if self
            .offenders
            .get(&origin)
            .is_some_and(|offender| offender.is_banned(now))
        {
            return Err(TurnedAway::Banned);
        }
        let inside = self.inside.entry(origin).or_default();
        if *inside >= self.max_per_origin {
            return Err(TurnedAway::TooMany);
        }
        *inside += 1;
        Ok(())
    }

    /// A client that was let in is gone; `points` for how it went.
    pub(crate) fn leave(&mut self, origin: Origin, points: u32, now: Duration) {
        if let Some(inside) = self.inside.get_mut(&origin) {
            *inside -= 1;
            if *inside == 0 {
                self.inside.remove(&origin);
            }
        }
        if points > 0 {
            self.blame(origin, points, now);
        }
    }

    fn blame(&mut self, origin: Origin, points: u32, now: Duration) {
        if self.offenders.len() >= MAX_OFFENDERS && !self.offenders.contains_key(&origin) {
            self.offenders
                .retain(|_, offender| offender.is_banned(now) || offender.points(now) > 0);
            // Still full: whoever has the fewest points is forgotten.
            if self.offenders.len() >= MAX_OFFENDERS
                && let Some(least) = self
                    .offenders
                    .iter()
                    .min_by_key(|(_, offender)| (offender.is_banned(now), offender.points(now)))
                    .map(|(origin, _)| *origin)
            {
                self.offenders.remove(&least);
            }
        }
        let before = self
            .offenders
            .get(&origin)
            .map_or(0, |offender| offender.points(now));
        let points = before.saturating_add(points);
        self.offenders.insert(
            origin,
            Offender {
                points: if points >= BAN_AT { 0 } else { points },
                updated: now,
                banned_until: (points >= BAN_AT).then(|| now.saturating_add(self.ban)),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse::<IpAddr>().unwrap().into()
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ipv6_clients_are_counted_by_their_64() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    #[test]
    fn connections_per_address_are_limited() {
        let mut bouncer = Bouncer::new(2, at(600));
        let (a, b) = (origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(bouncer.enter(a, at(0)), Ok(()));
        assert_eq!(bouncer.enter(a, at(0)), Ok(()));
        assert_eq!(bouncer.enter(a, at(0)), Err(TurnedAway::TooMany));
        assert_eq!(bouncer.enter(b, at(0)), Ok(()));
        bouncer.leave(a, 0, at(1));
        assert_eq!(bouncer.enter(a, at(1)), Ok(()));
        for address in [a, a, b] {
            bouncer.leave(address, 0, at(2));
        }
        assert!(bouncer.inside.is_empty());
    }

    #[test]
    fn points_add_up_to_a_ban_that_ends() {
        let mut bouncer = Bouncer::new(10, at(600));
        let a = origin("192.0.2.1");
        for _ in 0..2 {
            assert_eq!(bouncer.enter(a, at(0)), Ok(()));
            bouncer.leave(a, 50, at(0));
        }
        assert_eq!(bouncer.enter(a, at(599)), Err(TurnedAway::Banned));
        assert_eq!(bouncer.enter(a, at(600)), Ok(()));
        bouncer.leave(a, 50, at(600));
        assert_eq!(bouncer.enter(a, at(600)), Ok(()), "the slate was clean");
    }

    #[test]
    fn points_are_forgotten() {
        let mut bouncer = Bouncer::new(10, at(600));
        let a = origin("192.0.2.1");
        for minute in 0..20 {
            assert_eq!(bouncer.enter(a, at(minute * 600)), Ok(()));
            bouncer.leave(a, 50, at(minute * 600));
        }
    }

    #[test]
    fn offenders_are_bounded() {
        let mut bouncer = Bouncer::new(10, at(600));
        let banned = origin("192.0.2.1");
        bouncer.enter(banned, at(0)).unwrap();
        bouncer.leave(banned, 100, at(0));
        for number in 0..MAX_OFFENDERS as u32 + 50 {
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number)).into();
            bouncer.enter(address, at(1)).unwrap();
            bouncer.leave(address, 20, at(1));
        }
        assert!(bouncer.offenders.len() <= MAX_OFFENDERS);
        assert_eq!(bouncer.enter(banned, at(2)), Err(TurnedAway::Banned));
    }
}
