//! The mark of who uses a data directory.
//!
//! The file `LOCK` holds the number of the process. It is advisory: it turns the mistake of starting a second node on the
//! same directory into an error, where the first one's process can be seen (`/proc`). Left behind by a process that is gone,
//! or by this one, it means nothing. It does not guard against two processes that start in the same instant, nor across
//! machines or containers; the store's own lock does the former.

use std::io;
use std::path::{Path, PathBuf};

use shroud_runtime::{BlockFile, OpenOptions, Runtime};

use crate::OpenError;

const NAME: &str = "LOCK";
/// Longer than any process number.
const MAX_BYTES: usize = 32;

/// Marks the directory as used by this process.
pub(crate) async fn acquire<R: Runtime>(runtime: &R, directory: &Path) -> Result<(), OpenError> {
    let path = directory.join(NAME);
    let failed = |action| OpenError::io(action, &path);
    let file = runtime.open(&path, OpenOptions::creating()).await.map_err(failed("open"))?;
    let lent = file.read_at(vec![0; MAX_BYTES], 0).await;
    let count = lent.result.map_err(failed("read"))?;
    let own = runtime.process_id();
    if let Some(process) = process_in(lent.buffer.get(..count).unwrap_or_default())
        && process != own
        && runtime.read_dir(&PathBuf::from(format!("/proc/{process}"))).await.is_ok()
    {
        return Err(OpenError::InUse { directory: directory.to_owned(), process });
    }
    let text = format!("{own}\n");
    file.set_len(text.len() as u64).await.map_err(failed("cut"))?;
    file.write_at(text.into_bytes(), 0).await.result.map_err(failed("write"))
}

/// Removes the mark.
pub(crate) async fn release<R: Runtime>(runtime: &R, directory: &Path) -> io::Result<()> {
    runtime.remove_file(&directory.join(NAME)).await
}

fn process_in(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.trim_end_matches(['\0', '\n']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_count() {
        assert_eq!(process_in(b"123\n"), Some(123));
        assert_eq!(process_in(b"12\0\0"), Some(12));
        for none in [&b""[..], b"\n", b"-1\n", b"12 34", b"99999999999", b"\xff"] {
            assert_eq!(process_in(none), None);
        }
    }
}
