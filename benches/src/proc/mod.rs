//! What a process has cost so far, and what state the machine is in, as Linux tells in `/proc`.

mod machine;
mod parse;
mod usage;

pub use machine::{Machine, MachineLoad, slab_bytes};
pub use usage::{Memory, Process, Usage, UsageDelta, thread_cpu_nanos};
