//! What a comparison found: the data, its summary, and the ways to show it.

mod blocking;
mod chart;
mod html;
mod model;
mod plots;
mod summary;
mod table;

pub use blocking::Blocking;
pub use model::{Delay, Floor, Metadata, PhaseResult, Polls, Probe, Report, Seen, Skipped, Slot, TaskPolls};
pub use summary::{BackendSummary, Cell, Summary};

use std::io;
use std::path::Path;

impl Report {
    /// Writes `report.json` (everything) and `report.html` (self-contained) into a directory, which is made when missing.
    ///
    /// # Errors
    /// As `write(2)`; neither file is left half written under its name.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let json = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        write_whole(&directory.join("report.json"), &json)?;
        write_whole(&directory.join("report.html"), self.html().as_bytes())
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests;
