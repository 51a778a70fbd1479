//! Disks and stores under faults.
//!
//! | module | what is inside |
//! |---|---|
//! | [`batches`] | batches for stores, each a function of a seed and its height, and what a store must answer after them |
//! | `stores` | the simulated store: crashes, failing disks, rot; against fjall, also with `kill -9` |
//! | `disks` | the simulated disk against real files through the seam, also with `kill -9` |
//!
//! To add a fault: arm it on the `Disk` of a story in `stores`, and say with the atlas what the store owes. A failing seed is
//! named by the assertion; put it into the story's range to run it alone.
//!
//! Tests with `kill -9` start this test binary once more, as the child that is killed: [`child`].

pub mod batches;
pub mod child;

#[cfg(test)]
mod disks;
#[cfg(test)]
mod stores;
