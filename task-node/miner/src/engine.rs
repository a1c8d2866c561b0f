//! The threads that search.
//!
//! There is one slot with the latest work; every thread looks at its number between batches, so new work is taken up
//! within milliseconds. Threads take tickets (see [`crate::mining_work`]) from one counter: no two ever try the same
//! header.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::throttle::Throttle;
use crate::{Kernel, MiningWork, PortableKernel, PreparedHeader};

/// Solutions waiting to be sent; when there are more, the threads wait.
const WAITING_SOLUTIONS: usize = 64;

/// How to search.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Threads.
    pub threads: NonZeroUsize,
    /// All threads together try no more than this.
    pub hashes_per_second: Option<NonZeroU64>,
    /// Let everything else on the machine go first (on Linux; elsewhere without effect).
    pub low_priority: bool,
    /// The hash loop.
    pub kernel: Arc<dyn Kernel>,
}

impl Default for EngineSettings {
    /// One thread without a cap, low priority, the kernel that runs everywhere.
    fn default() -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            hashes_per_second: None,
            low_priority: true,
            kernel: Arc::new(PortableKernel),
        }
    }
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The system refused a thread.
    #[error("cannot start a search thread: {0}; ask for fewer threads")]
    Thread(#[source] std::io::Error),
}

/// A header that meets its work's target.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The work it solves.
    pub work: Arc<MiningWork>,
    /// The miner's part of the coinbase.
    pub extranonce2: Vec<u8>,
    /// The header's time.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The version bits within the negotiated mask, if one was negotiated.
    pub version_bits: Option<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    work: Option<Arc<MiningWork>>,
    /// The ticket the work began with.
    first_ticket: u64,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    /// Wakes threads that wait, for work or for their pace.
    changed: Condvar,
    /// Counts the works; changes together with the slot.
    number: AtomicU64,
    tickets: AtomicU64,
    hashes: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Nothing panics while holding it; were it so, the slot is whole all the same.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn is_current(&self, number: u64) -> bool {
        self.number.load(Ordering::Acquire) == number && !self.stopped()
    }

    /// Waits until there is other work than `number`, or for `pause`.
    fn pause(&self, number: u64, pause: Duration) {
        let slot = self.lock();
        let _ = self
            .changed
            .wait_timeout_while(slot, pause, |_| self.is_current(number))
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// The next work after `seen`; `None` when the engine stops.
    fn next_work(&self, seen: u64) -> Option<(u64, Arc<MiningWork>, u64)> {
        let mut slot = self.lock();
        loop {
            if self.stopped() {
                return None;
            }
            let number = self.number.load(Ordering::Acquire);
            if let (true, Some(work)) = (number != seen, &slot.work) {
                return Some((number, Arc::clone(work), slot.first_ticket));
            }
            slot = self
                .changed
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Running search threads; they stop when it is dropped.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads, without work. Solutions come out of the receiver; while nobody takes them, the search waits.
    ///
    /// # Errors
    /// [`EngineError::Thread`].
    pub fn start(
        settings: &EngineSettings,
    ) -> Result<(Self, mpsc::Receiver<Solution>), EngineError> {
        let (solutions, receiver) = mpsc::channel(WAITING_SOLUTIONS);
        let mut engine = Self {
            shared: Arc::default(),
            threads: Vec::new(),
        };
        let threads = settings.threads.get();
        for index in 0..threads {
            let searcher = Searcher {
                shared: Arc::clone(&engine.shared),
                solutions: solutions.clone(),
                kernel: Arc::clone(&settings.kernel),
                throttle: Throttle::new(share_of(settings.hashes_per_second, threads)),
                started: Instant::now(),
            };
            let low_priority = settings.low_priority;
            let thread = std::thread::Builder::new()
                .name(format!("miner-{index}"))
                .spawn(move || {
                    if low_priority {
                        lower_priority();
                    }
                    searcher.run();
                })
                .map_err(EngineError::Thread)?;
            engine.threads.push(thread);
        }
        Ok((engine, receiver))
    }

    /// Replaces the work all threads search; `None` makes them rest.
    pub fn set_work(&self, work: Option<Arc<MiningWork>>) {
        let mut slot = self.shared.lock();
        slot.work = work;
        slot.first_ticket = self.shared.tickets.load(Ordering::Acquire);
        self.shared.number.fetch_add(1, Ordering::AcqRel);
        drop(slot);
        self.shared.changed.notify_all();
    }

    /// Hashes tried since the start.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.shared.hashes.load(Ordering::Relaxed)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Under the lock, or a thread between its check and its wait would miss it.
        let slot = self.shared.lock();
        self.shared.stop.store(true, Ordering::Release);
        drop(slot);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// A thread's part of the cap, rounded down so that together they stay below it.
fn share_of(cap: Option<NonZeroU64>, threads: usize) -> Option<NonZeroU64> {
    cap.map(|cap| {
        let part = cap.get() / u64::try_from(threads).unwrap_or(u64::MAX);
        NonZeroU64::new(part).unwrap_or(NonZeroU64::MIN)
    })
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    // On Linux this is the calling thread's own, whatever POSIX says.
    if let Err(error) = rustix::process::nice(19) {
        tracing::debug!(%error, "the search thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

struct Searcher {
    shared: Arc<Shared>,
    solutions: mpsc::Sender<Solution>,
    kernel: Arc<dyn Kernel>,
    throttle: Throttle,
    started: Instant,
}

impl Searcher {
    fn run(mut self) {
        let mut seen = 0;
        while let Some((number, work, first)) = self.shared.next_work(seen) {
            seen = number;
            self.throttle.begin(self.started.elapsed());
            while self.shared.is_current(number) {
                let ticket = self.shared.tickets.fetch_add(1, Ordering::AcqRel);
                if !self.search_ticket(number, &work, ticket, first) {
                    break;
                }
            }
        }
    }

    /// Tries all nonces of one ticket; `false` when this work is at its end.
    fn search_ticket(
        &mut self,
        number: u64,
        work: &Arc<MiningWork>,
        ticket: u64,
        first: u64,
    ) -> bool {
        let Some(slice) = work.slice(ticket, first) else {
            tracing::debug!(job = work.job.id, "every header of this job was tried");
            return false;
        };
        let header = PreparedHeader::new(&work.header(&slice));
        let mut next = 0_u32;
        while self.shared.is_current(number) {
            let last = next.saturating_add(self.throttle.batch() - 1);
            let found = self.kernel.search(&header, &work.target, next..=last);
            let end = found.unwrap_or(last);
            let tried = u64::from(end - next) + 1;
            self.shared.hashes.fetch_add(tried, Ordering::Relaxed);
            if let Some(nonce) = found {
                let solution = Solution {
                    work: Arc::clone(work),
                    extranonce2: slice.extranonce2.clone(),
                    ntime: slice.ntime,
                    nonce,
                    version_bits: slice.version_bits,
                };
                if !self.hand_out(solution) {
                    return false;
                }
            }
            let wait = self.throttle.tried(tried, self.started.elapsed());
            if !wait.is_zero() {
                self.shared.pause(number, wait);
            }
            match end.checked_add(1) {
                Some(after) => next = after,
                None => return true,
            }
        }
        false
    }

    /// Waits for room: a share that was found is not thrown away here, whatever the work is by then. `false` when
    /// nobody listens any more.
    fn hand_out(&self, mut solution: Solution) -> bool {
        loop {
            match self.solutions.try_send(solution) {
                Ok(()) => return true,
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(back)) => solution = back,
            }
            if self.shared.stopped() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use pow::{Algorithm, Sha256d, ShareDifficulty, Target};

    use super::*;
    use crate::mining_work::tests::slush_work;

    fn engine(threads: usize, cap: Option<u64>) -> (Engine, mpsc::Receiver<Solution>) {
        Engine::start(&EngineSettings {
            threads: NonZeroUsize::new(threads).unwrap(),
            hashes_per_second: cap.and_then(NonZeroU64::new),
            ..EngineSettings::default()
        })
        .unwrap()
    }

    fn work(sequence: u64, target: Target) -> Arc<MiningWork> {
        Arc::new(MiningWork {
            sequence,
            target,
            ..slush_work(8, Some(0x1fff_e000))
        })
    }

    /// About one hash in 4,096.
    fn moderate() -> Target {
        ShareDifficulty::at_most(1.0 / f64::from(1 << 20))
            .unwrap()
            .target()
    }

    fn hash_of(solution: &Solution) -> [u8; 32] {
        let slice = crate::mining_work::Slice {
            extranonce2: solution.extranonce2.clone(),
            ntime: solution.ntime,
            version_bits: solution.version_bits,
        };
        let mut header = solution.work.header(&slice);
        header[76..].copy_from_slice(&solution.nonce.to_le_bytes());
        Sha256d::hash(&header)
    }

    #[test]
    fn all_solutions_meet_the_target_and_none_comes_twice() {
        let (engine, mut solutions) = engine(3, None);
        engine.set_work(Some(work(1, moderate())));
        let mut hashes = HashSet::new();
        for _ in 0..300 {
            let solution = solutions.blocking_recv().unwrap();
            let hash = hash_of(&solution);
            assert!(solution.work.target.is_met_by_le(&hash));
            assert!(hashes.insert(hash));
        }
        assert!(engine.hashes() > 0);
    }

    /// A pool whose difficulty goes up and comes back sends the very same coinbase again.
    #[test]
    fn the_same_job_twice_is_not_searched_twice() {
        let (engine, mut solutions) = engine(2, None);
        let mut hashes = HashSet::new();
        for sequence in 1..20 {
            engine.set_work(Some(work(sequence, moderate())));
            for _ in 0..10 {
                let solution = solutions.blocking_recv().unwrap();
                assert!(hashes.insert(hash_of(&solution)));
            }
        }
    }

    #[test]
    fn new_work_replaces_the_old_in_the_middle_of_a_search() {
        let (engine, mut solutions) = engine(2, None);
        // No hash meets this one: only being told helps.
        engine.set_work(Some(work(1, Target::from_be_bytes([0; 32]))));
        engine.set_work(Some(work(2, moderate())));
        assert_eq!(solutions.blocking_recv().unwrap().work.sequence, 2);
        engine.set_work(Some(work(3, moderate())));
        let mut solution = solutions.blocking_recv().unwrap();
        while solution.work.sequence != 3 {
            solution = solutions.blocking_recv().unwrap();
        }
    }

    #[test]
    fn without_work_nothing_is_tried() {
        let (engine, mut solutions) = engine(2, None);
        engine.set_work(Some(work(1, moderate())));
        solutions.blocking_recv().unwrap();
        engine.set_work(None);
        let before = engine.hashes();
        std::thread::sleep(Duration::from_millis(100));
        // Each thread may have been in the middle of one batch.
        let batch = u64::from(Throttle::new(None).batch());
        assert!(engine.hashes() <= before + 2 * batch);
    }

    #[test]
    fn a_full_queue_neither_loses_shares_nor_holds_up_the_stop() {
        let (engine, mut solutions) = engine(2, None);
        let easy = ShareDifficulty::MIN.target();
        engine.set_work(Some(work(1, easy)));
        // Nobody takes anything: the queue fills and the threads wait.
        while solutions.len() < WAITING_SOLUTIONS {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut hashes = HashSet::new();
        for _ in 0..500 {
            assert!(hashes.insert(hash_of(&solutions.blocking_recv().unwrap())));
        }
        drop(engine); // joins
        while let Ok(solution) = solutions.try_recv() {
            assert!(hashes.insert(hash_of(&solution)));
        }
    }

    #[test]
    fn a_receiver_that_is_gone_ends_the_search() {
        let (engine, solutions) = engine(1, None);
        drop(solutions);
        engine.set_work(Some(work(1, ShareDifficulty::MIN.target())));
        drop(engine);
    }

    #[test]
    fn the_cap_is_shared_by_the_threads() {
        assert_eq!(share_of(NonZeroU64::new(1_000), 3), NonZeroU64::new(333));
        assert_eq!(share_of(NonZeroU64::new(2), 3), NonZeroU64::new(1));
        assert_eq!(share_of(None, 3), None);
    }
}
