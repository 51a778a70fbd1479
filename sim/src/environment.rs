//! The scheduler's view of the world.

use shroud_executor_sim::Environment;
use shroud_io_sim::Universe;
use shroud_runtime::Job;
use std::time::Duration;

/// A universe as the scheduler's environment.
pub(crate) struct World(pub(crate) Universe);

impl Environment for World {
    fn draw(&self) -> u64 {
        self.0.draw()
    }

    fn chosen(&self, task: u64, ready: usize) {
        self.0.note_poll(task, ready);
    }

    fn spend(&self, cost: Duration) {
        self.0.spend(cost);
    }

    fn fire_due(&self) {
        self.0.fire_due();
    }

    fn fire_next(&self) -> bool {
        self.0.fire_next()
    }

    fn after(&self, delay: Duration, job: Job) {
        self.0.at(self.0.time() + delay, job);
    }

    fn block(&self, job: &mut dyn FnMut()) -> Duration {
        self.0.block(job)
    }
}
