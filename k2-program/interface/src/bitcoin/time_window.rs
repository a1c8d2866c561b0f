//! The times of the last eleven blocks, and their median.

/// How many times there are (`CBlockIndex::nMedianTimeSpan`).
pub const MEDIAN_TIME_SPAN: usize = 11;

/// The last blocks' times: at least one, at most eleven. Kept in order of blocks, to know which one leaves, and in order
/// of time, to know the median: a new block moves a few places instead of sorting eleven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    /// In order of blocks; once full, `next` is the oldest.
    recent: [u32; MEDIAN_TIME_SPAN],
    /// The first `len` in order of time.
    sorted: [u32; MEDIAN_TIME_SPAN],
    len: usize,
    next: usize,
}

impl TimeWindow {
    /// A window of one block.
    #[must_use]
    pub const fn new(time: u32) -> Self {
        let mut times = [0; MEDIAN_TIME_SPAN];
        times[0] = time;
        Self {
            recent: times,
            sorted: times,
            len: 1,
            next: 1,
        }
    }

    /// A window of the last eleven of these times, oldest block first; `None` where there are none.
    pub fn from_oldest(times: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut times = times.into_iter();
        let mut window = Self::new(times.next()?);
        for time in times {
            window.push(time);
        }
        Some(window)
    }

    /// Adds the next block's time; of twelve the oldest block's leaves.
    pub fn push(&mut self, time: u32) {
        let mut place = if self.len < MEDIAN_TIME_SPAN {
            self.len += 1;
            self.len - 1
        } else {
            let oldest = self.recent[self.next];
            self.sorted
                .iter()
                .position(|time| *time == oldest)
                .unwrap_or(0)
        };
        self.recent[self.next] = time;
        self.next = (self.next + 1) % MEDIAN_TIME_SPAN;
        // The place is free: neighbours move into it until it is where the new time belongs.
        while place > 0 && self.sorted[place - 1] > time {
            self.sorted[place] = self.sorted[place - 1];
            place -= 1;
        }
        while place + 1 < self.len && self.sorted[place + 1] < time {
            self.sorted[place] = self.sorted[place + 1];
            place += 1;
        }
        self.sorted[place] = time;
    }

    /// The median time past (BIP113, `CBlockIndex::GetMedianTimePast`): the upper one of an even number of times.
    #[must_use]
    pub const fn median(&self) -> u32 {
        self.sorted[self.len / 2]
    }
}
