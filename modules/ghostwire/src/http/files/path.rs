//! From a request's path to one below the directory.

use std::path::{Component, Path, PathBuf};

/// Segments of a path, at most.
const SEGMENTS: usize = 64;

/// The relative path that a request's path names; `None` when it names nothing that could be served.
///
/// Only segments that are plain names are ever joined, after decoding: none that is `..`, `.` or empty, that holds a
/// separator or NUL however it was spelled, or that begins with a dot (unless `hidden`). So no path leads out of the
/// directory; what a symbolic link inside it leads to is the directory's owner's choice.
pub(super) fn relative(path: &str, hidden: bool) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(relative);
    }
    for (number, segment) in path.split('/').enumerate() {
        let name = decode(segment)?;
        if number >= SEGMENTS || name.is_empty() || name.contains(['/', '\\', '\0']) {
            return None;
        }
        if name.starts_with('.') && !(hidden && name != "." && name != "..") {
            return None;
        }
        let mut components = Path::new(&name).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            return None;
        }
        relative.push(&name);
    }
    Some(relative)
}

/// Percent-decodes (RFC 3986 2.1); `None` when it is malformed or not UTF-8.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { digit(rest.next()?)? << 4 | digit(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_only() {
        for (path, expected) in [
            ("/", Some("")),
            ("/a", Some("a")),
            ("/a/", Some("a")),
            ("/a/b.txt", Some("a/b.txt")),
            ("/a%20b/%C3%A4", Some("a b/ä")),
            ("/a..b/c...", Some("a..b/c...")),
            ("/..", None),
            ("/../etc/passwd", None),
            ("/a/../../b", None),
            ("/a/./b", None),
            ("/%2e%2e/b", None),
            ("/%2E%2e%2fb", None),
            ("/..%2f..%2fetc", None),
            ("/a%2fb", None),
            ("/a%5cb", None),
            ("/a\\b", None),
            ("/a%00.txt", None),
            ("/%252e%252e/b", Some("%2e%2e/b")),
            ("//a", None),
            ("/a//b", None),
            ("/.git/config", None),
            ("/a/.hidden", None),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("/%ff", None),
            ("/%c0%ae%c0%ae/b", None),
            ("a", None),
            ("*", None),
        ] {
            assert_eq!(relative(path, false), expected.map(PathBuf::from), "{path}");
        }
        assert_eq!(relative("/.well-known/x", true), Some(PathBuf::from(".well-known/x")));
        assert_eq!(relative("/..", true), None);
        assert_eq!(relative("/%2e", true), None);
        assert!(relative(&"/a".repeat(SEGMENTS), false).is_some());
        assert!(relative(&"/a".repeat(SEGMENTS + 1), false).is_none());
    }

    proptest! {
        #[test]
        fn nothing_leads_out(path in "(/|\\.|%2e|%2f|%5c|%00|\\\\|a|\u{e4}|%|%25){0,20}", hidden in any::<bool>()) {
            if let Some(relative) = relative(&path, hidden) {
                prop_assert!(relative.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", relative);
                prop_assert!(Path::new("/served").join(&relative).starts_with("/served"));
            }
        }
    }
}
