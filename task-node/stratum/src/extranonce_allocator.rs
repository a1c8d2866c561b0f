//! Unique extranonce1 by allocation, never by chance.
//!
//! Two sessions with one extranonce1 search the same space and take each other's shares away (braidpool #461, #472 drew
//! them at random). Here 12 bits are the node's boot counter, so that a restart does not repeat what the run before gave
//! out, and 20 bits count sessions. A freed number comes back only after all others, or at once to the one client that
//! presents its session id.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use work::{Extranonce1, JobTemplateId};

use crate::{NoRandomness, Randomness, SessionId};

/// Bits of the session counter.
const COUNTER_BITS: u32 = 20;
/// How many of a session's last jobs are remembered for the one that resumes it.
const MAX_ISSUED: usize = 8;
/// How many ended sessions can be resumed. Older ones only give their number back.
const MAX_RESUMABLE: usize = 16_384;

/// Why there is no extranonce1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// Every number is in use by a live session.
    #[error("all {} extranonces are in use", 1_u32 << COUNTER_BITS)]
    Exhausted,
    /// No session id could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Gives every live session of the node an extranonce1 of its own.
pub struct ExtranonceAllocator {
    boot: u32,
    counters: u32,
    random: Arc<dyn Randomness>,
    free: Mutex<Free>,
}

impl std::fmt::Debug for ExtranonceAllocator {
    /// Without the session ids, which are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtranonceAllocator")
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}

/// A job by what its search space depends on besides the extranonce1: the template and the claim's hash.
type IssuedSpace = (JobTemplateId, [u8; 32]);

/// What is kept of a session that can be resumed.
struct Ended {
    id: SessionId,
    counter: u32,
    issued: VecDeque<IssuedSpace>,
}

/// What is not in use. Counters from `fresh` on were never given out; each of the others is live, resumable or returned.
#[derive(Default)]
struct Free {
    fresh: u32,
    /// By the order in which they ended.
    resumable: BTreeMap<u64, Ended>,
    by_id: HashMap<SessionId, u64>,
    ended: u64,
    returned: VecDeque<u32>,
}

impl ExtranonceAllocator {
    /// An allocator for this start of the node; `boot` counts starts and may wrap after 4,096 of them.
    #[must_use]
    pub fn new(boot: u32, random: Arc<dyn Randomness>) -> Self {
        Self::with_counters(boot, random, 1 << COUNTER_BITS)
    }

    fn with_counters(boot: u32, random: Arc<dyn Randomness>, counters: u32) -> Self {
        Self {
            boot: boot % (1 << (32 - COUNTER_BITS)),
            counters,
            random,
            free: Mutex::default(),
        }
    }

    /// An extranonce1 no live session has: that of the ended session `resume`, or another one under a new id.
    ///
    /// # Errors
    /// [`AllocateError`].
    pub fn allocate(self: &Arc<Self>, resume: Option<SessionId>) -> Result<Lease, AllocateError> {
        if let Some(id) = resume
            && let Some(ended) = self.lock().resume(id)
        {
            return Ok(self.lease(id, ended.counter, ended.issued));
        }
        let id = SessionId::from_bytes(self.random.bytes16()?);
        let counter = self
            .lock()
            .next(self.counters)
            .ok_or(AllocateError::Exhausted)?;
        Ok(self.lease(id, counter, VecDeque::new()))
    }

    fn lease(
        self: &Arc<Self>,
        id: SessionId,
        counter: u32,
        issued: VecDeque<IssuedSpace>,
    ) -> Lease {
        Lease {
            allocator: Arc::clone(self),
            id,
            counter,
            issued,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Free {
    fn resume(&mut self, id: SessionId) -> Option<Ended> {
        let order = self.by_id.remove(&id)?;
        self.resumable.remove(&order)
    }

    fn next(&mut self, counters: u32) -> Option<u32> {
        if self.fresh < counters {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        // Whatever was returned ended before whatever can still be resumed.
        self.returned.pop_front().or_else(|| self.forget_oldest())
    }

    fn release(&mut self, session: Ended) {
        self.ended += 1;
        self.by_id.insert(session.id, self.ended);
        self.resumable.insert(self.ended, session);
        if self.resumable.len() > MAX_RESUMABLE
            && let Some(counter) = self.forget_oldest()
        {
            self.returned.push_back(counter);
        }
    }

    fn forget_oldest(&mut self) -> Option<u32> {
        let (_, oldest) = self.resumable.pop_first()?;
        self.by_id.remove(&oldest.id);
        Some(oldest.counter)
    }
}

/// An extranonce1 in use. It is free again when this is dropped.
pub struct Lease {
    allocator: Arc<ExtranonceAllocator>,
    id: SessionId,
    counter: u32,
    issued: VecDeque<IssuedSpace>,
}

impl Lease {
    /// The extranonce1.
    #[must_use]
    pub fn extranonce1(&self) -> Extranonce1 {
        Extranonce1::from_u32((self.allocator.boot << COUNTER_BITS) | self.counter)
    }

    /// The id that gives it back after this session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.id
    }

    /// Remembers a job that was sent under this extranonce1.
    pub(crate) fn remember(&mut self, template: JobTemplateId, claim_hash: [u8; 32]) {
        if self.issued.len() >= MAX_ISSUED {
            self.issued.pop_front();
        }
        self.issued.push_back((template, claim_hash));
    }

    /// Whether such a job was among the last ones, in this session or in the one it resumes. A client that starts over on it
    /// would find the same shares again.
    pub(crate) fn remembers(&self, template: JobTemplateId, claim_hash: [u8; 32]) -> bool {
        self.issued.contains(&(template, claim_hash))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let session = Ended {
            id: self.id,
            counter: self.counter,
            issued: std::mem::take(&mut self.issued),
        };
        self.allocator.lock().release(session);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({})", self.extranonce1())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// Distinct bytes, which is all the allocator asks of them.
    #[derive(Default)]
    struct Counting(AtomicU64);

    impl Randomness for Counting {
        fn bytes16(&self) -> Result<[u8; 16], NoRandomness> {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            Ok(bytes)
        }
    }

    struct Silent;

    impl Randomness for Silent {
        fn bytes16(&self) -> Result<[u8; 16], NoRandomness> {
            Err(NoRandomness)
        }
    }

    fn allocator(counters: u32) -> Arc<ExtranonceAllocator> {
        let random = Arc::new(Counting::default());
        Arc::new(ExtranonceAllocator::with_counters(0x1003, random, counters))
    }

    #[test]
    fn boot_and_counter_make_the_number() {
        let allocator = allocator(8);
        assert_eq!(
            allocator.allocate(None).unwrap().extranonce1().to_u32(),
            0x0030_0000
        );
        assert_eq!(
            allocator.allocate(None).unwrap().extranonce1().to_u32(),
            0x0030_0001
        );
    }

    #[test]
    fn freed_ones_come_back_after_all_others() {
        let allocator = allocator(4);
        let mut live: Vec<Lease> = (0..3).map(|_| allocator.allocate(None).unwrap()).collect();
        drop(live.remove(1));
        drop(live.remove(0));
        let order: Vec<u32> = (0..3)
            .map(|_| {
                let lease = allocator.allocate(None).unwrap();
                let number = lease.extranonce1().to_u32() & 0xff;
                live.push(lease);
                number
            })
            .collect();
        assert_eq!(order, [3, 1, 0]);
        assert_eq!(
            allocator.allocate(None).unwrap_err(),
            AllocateError::Exhausted
        );
    }

    #[test]
    fn only_the_session_id_resumes_and_only_after_the_session() {
        let allocator = allocator(8);
        let first = allocator.allocate(None).unwrap();
        let (id, number) = (first.session_id(), first.extranonce1());
        let twin = allocator.allocate(Some(id)).unwrap();
        assert_ne!(twin.extranonce1(), number, "the first session is alive");
        drop(first);
        let stranger = allocator
            .allocate(Some(SessionId::from_bytes([0xff; 16])))
            .unwrap();
        assert_ne!(stranger.extranonce1(), number);
        let again = allocator.allocate(Some(id)).unwrap();
        assert_eq!((again.session_id(), again.extranonce1()), (id, number));
        let thief = allocator.allocate(Some(id)).unwrap();
        assert_ne!(thief.extranonce1(), number);
    }

    #[test]
    fn memory_of_ended_sessions_is_bounded() {
        let allocator = allocator(1 << COUNTER_BITS);
        for _ in 0..MAX_RESUMABLE + 100 {
            drop(allocator.allocate(None).unwrap());
        }
        let free = allocator.lock();
        assert_eq!(free.resumable.len(), MAX_RESUMABLE);
        assert_eq!(free.by_id.len(), MAX_RESUMABLE);
        assert_eq!(free.returned.len(), 100);
    }

    #[test]
    fn without_randomness_there_is_no_session() {
        let allocator = Arc::new(ExtranonceAllocator::new(0, Arc::new(Silent)));
        assert_eq!(
            allocator.allocate(None).unwrap_err(),
            AllocateError::Randomness(NoRandomness)
        );
    }

    proptest! {
        #[test]
        fn identical_extranonce1_braidpool_461(steps in proptest::collection::vec((0_u8..3, 0_usize..16), 1..200)) {
            let allocator = allocator(8);
            let mut live: Vec<Lease> = Vec::new();
            let mut ended = Vec::new();
            for (what, which) in steps {
                match what {
                    0 => live.extend(allocator.allocate(None).ok()),
                    1 if !live.is_empty() => {
                        let lease = live.remove(which % live.len());
                        ended.push(lease.session_id());
                    }
                    _ if !ended.is_empty() => {
                        live.extend(allocator.allocate(Some(ended[which % ended.len()])).ok());
                    }
                    _ => {}
                }
                let numbers: HashSet<_> = live.iter().map(Lease::extranonce1).collect();
                prop_assert_eq!(numbers.len(), live.len());
                prop_assert!(live.len() <= 8);
            }
        }
    }
}
