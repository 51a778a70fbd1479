//! Bit rot in a chosen place.

use shroud_io_sim::chance::{Chance, Rate};
use shroud_sim::disk::{Disk, SECTOR_BYTES};
use std::path::{Path, PathBuf};

/// Where the node keeps its data.
const DATA: &str = "/data";
/// How often it is the journal that rots.
const JOURNAL: Rate = Rate::percent(70);
/// How often a sector rots that holds something.
const IN_USE: Rate = Rate::percent(90);

/// Turns over a bit of a file that is durable; nothing happens while there is none.
pub(super) fn rot(disk: &mut Disk, chance: &mut Chance) {
    let mut files = Vec::new();
    collect(disk, Path::new(DATA), chance, &mut files);
    let journal: Vec<_> =
        files.iter().filter(|(path, _)| path.to_string_lossy().ends_with(".journal")).cloned().collect();
    let files = if chance.happens(JOURNAL) && !journal.is_empty() { journal } else { files };
    let Some((path, bytes)) = files.get(chance.index(files.len())) else { return };
    let sector = SECTOR_BYTES as usize;
    let used: Vec<usize> = bytes
        .chunks(sector)
        .enumerate()
        .filter(|(_, sector)| sector.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number * sector)
        .collect();
    let offset = match used.get(chance.index(used.len())) {
        Some(start) if chance.happens(IN_USE) => start + chance.index(sector.min(bytes.len() - start)),
        _ => chance.index(bytes.len()),
    };
    // The file is durable and has the byte.
    let _ = disk.rot(path, offset as u64, 1 << chance.below(8));
}

/// The durable files under a path with what they hold.
fn collect(disk: &mut Disk, path: &Path, chance: &mut Chance, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    match disk.read_dir(path, chance).0 {
        Ok(names) => names.iter().for_each(|name| collect(disk, name, chance, files)),
        Err(_) => {
            files.extend(
                disk.durable(path).filter(|bytes| !bytes.is_empty()).map(|bytes| (path.to_owned(), bytes)),
            );
        }
    }
}
