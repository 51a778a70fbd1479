//! Which of the ready tasks is polled next.

/// How the next task is chosen. All choices are drawn from the environment's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Each ready task is as likely as any other.
    #[default]
    Uniform,
    /// The task that became ready first: what a plain executor does.
    Fifo,
    /// Favours rare interleavings (Burckhardt and others, "A randomized scheduler with probabilistic guarantees of
    /// finding bugs", 2010): every task draws a priority when it starts and the highest ready one runs, except that at
    /// `changes` turns, drawn from the next `horizon`, the running task falls behind all others. A task that was chosen
    /// [`PATIENCE`] times in a row falls behind as well: one that waits by yielding would otherwise run for ever.
    Priorities {
        /// Turns at which the running task falls behind, in each horizon.
        changes: u32,
        /// Turns among which they are drawn.
        horizon: u32,
    },
}

/// Turns in a row after which a task falls behind under [`Policy::Priorities`]: more than any task needs to get
/// something done, few enough that waiting by yielding costs little.
pub const PATIENCE: u32 = 64;

/// Turns at which the running task falls behind.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    turn: u32,
    /// Descending, so that the next one is the last.
    planned: Vec<u32>,
    last: u64,
    in_a_row: u32,
    /// Priorities given to tasks that fell behind, ever lower.
    lowest: u64,
}

/// Priorities drawn at a task's start are above all those given later.
const START: u64 = 1 << 63;

/// The priority of a new task.
pub(crate) fn priority(drawn: u64) -> u64 {
    drawn | START
}

impl Changes {
    /// Whether the task that was chosen falls behind from its next turn on, and to which priority.
    pub(crate) fn after_choice(
        &mut self,
        task: u64,
        (changes, horizon): (u32, u32),
        mut draw: impl FnMut() -> u64,
    ) -> Option<u64> {
        if self.turn == 0 {
            let horizon = u64::from(horizon.max(1));
            self.planned.clear();
            self.planned.extend((0..changes).map(|_| (draw() % horizon) as u32));
            self.planned.sort_unstable_by(|left, right| right.cmp(left));
        }
        self.in_a_row = if task == self.last { self.in_a_row + 1 } else { 0 };
        self.last = task;
        let mut behind = self.in_a_row >= PATIENCE;
        while self.planned.last().is_some_and(|turn| *turn <= self.turn) {
            self.planned.pop();
            behind = true;
        }
        self.turn += 1;
        if self.turn >= horizon {
            self.turn = 0;
        }
        behind.then(|| {
            self.in_a_row = 0;
            self.lowest += 1;
            START - self.lowest
        })
    }
}
