//! Directories and names in them, on the executor's blocking threads. Each verb means what
//! [`shroud_runtime::Runtime`] says.

use shroud_runtime::Offload;
use shroud_runtime::compose::offload;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The entries of a directory, sorted by name.
///
/// # Errors
/// As `opendir(3)`.
pub async fn read_dir(pool: &dyn Offload, path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = path.to_owned();
    offload(pool, move || {
        let mut entries =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort_unstable();
        Ok(entries)
    })
    .await?
}

/// Creates a directory and its missing parents.
///
/// # Errors
/// As `mkdir(2)`.
pub async fn create_dir_all(pool: &dyn Offload, path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    offload(pool, move || fs::create_dir_all(path)).await?
}

/// Renames a file.
///
/// # Errors
/// As `rename(2)`.
pub async fn rename(pool: &dyn Offload, from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    offload(pool, move || fs::rename(from, to)).await?
}

/// Removes a file.
///
/// # Errors
/// As `unlink(2)`.
pub async fn remove_file(pool: &dyn Offload, path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    offload(pool, move || fs::remove_file(path)).await?
}

/// Makes changes of a directory's entries durable.
///
/// # Errors
/// As `fsync(2)`.
pub async fn sync_dir(pool: &dyn Offload, path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    offload(pool, move || File::open(path)?.sync_all()).await?
}
