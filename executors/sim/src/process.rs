//! One run of one simulated host.

/// One run of one simulated host, as the scheduler knows it. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub(crate) usize);

/// What the scheduler keeps of a process.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) dead: bool,
    pub(crate) paused: bool,
    /// Ready while the process is paused.
    pub(crate) held: Vec<(usize, u64)>,
    /// Blocking jobs that came due while the process was paused.
    pub(crate) held_jobs: Vec<shroud_runtime::Job>,
    pub(crate) live: usize,
}
