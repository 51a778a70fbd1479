//! The journal's directory: which file is which.

use std::path::{Path, PathBuf};

use shroud_runtime::Runtime;

use super::JournalError;

const SUFFIX: &str = ".journal";
const SPARE: &str = "spare";
/// Digits of a segment's number, so that names sort as numbers.
const DIGITS: usize = 20;

pub(crate) fn segment_path(directory: &Path, index: u64) -> PathBuf {
    directory.join(format!("{index:0DIGITS$}{SUFFIX}"))
}

pub(super) fn spare_path(directory: &Path) -> PathBuf {
    directory.join(SPARE)
}

/// The numbers of the segments in a directory, ascending and without gaps.
pub(crate) async fn list<R: Runtime>(runtime: &R, directory: &Path) -> Result<Vec<u64>, JournalError> {
    let entries = runtime.read_dir(directory).await.map_err(JournalError::io("list", directory))?;
    let mut segments: Vec<u64> = entries.iter().filter_map(|path| index_of(path)).collect();
    segments.sort_unstable();
    let mut expected = segments.first().copied();
    for index in &segments {
        match expected {
            Some(missing) if missing != *index => return Err(JournalError::Missing { missing }),
            _ => expected = index.checked_add(1),
        }
    }
    Ok(segments)
}

fn index_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let path = segment_path(Path::new("/data"), 42);
        assert_eq!(path, Path::new("/data/00000000000000000042.journal"));
        assert_eq!(index_of(&path), Some(42));
        assert_eq!(index_of(&segment_path(Path::new("/"), u64::MAX)), Some(u64::MAX));
        for other in
            ["/data/spare", "/data/42.journal", "/data/0000000000000000004x.journal", "/data/LOCK", "/"]
        {
            assert_eq!(index_of(Path::new(other)), None, "{other}");
        }
    }
}
