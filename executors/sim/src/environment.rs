//! What the scheduler needs from the simulated world.

use shroud_runtime::Job;
use std::time::Duration;

/// Time, chance and events, as the scheduler sees them. Called with none of the scheduler's locks held, except
/// [`Environment::draw`], which must not wake anybody.
pub trait Environment: Send + Sync + 'static {
    /// The next number of the scheduler's own random stream.
    fn draw(&self) -> u64;

    /// Notes that the task with this number is polled next, chosen among `ready`.
    fn chosen(&self, task: u64, ready: usize);

    /// Lets time pass: what a poll costs.
    fn spend(&self, cost: Duration);

    /// Fires every event that is due by now.
    fn fire_due(&self);

    /// Jumps to the next event and fires it; `false` when there is none.
    fn fire_next(&self) -> bool;

    /// Runs `job` after `delay`, as an event.
    fn after(&self, delay: Duration, job: Job);

    /// Runs a blocking job now and gives the time that it would have taken, which passes for nobody else meanwhile.
    fn block(&self, job: &mut dyn FnMut()) -> Duration;
}
