//! Tells a request header whose body could be framed in two ways.
//!
//! A request with both `Content-Length` and `Transfer-Encoding` is how one is smuggled past a proxy that reads the
//! other field (RFC 9112, 6.3 and 11.2). hyper decides for the transfer coding, closes the connection afterwards and
//! does not tell; here the raw header is looked at, so that such a request is refused outright. What this misses
//! (a request that came in together with the one before it) still meets hyper's rule.

/// The longest name looked for, with its colon.
const LONGEST: usize = b"transfer-encoding:".len();

/// Looks at the lines of one header, however the reads cut them.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// The start of a line whose end has not come yet.
    line: [u8; LONGEST],
    kept: usize,
    in_header: bool,
    done: bool,
    length: bool,
    coding: bool,
}

impl HeadScan {
    /// Takes the next bytes; says whether both fields were seen.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> bool {
        if !self.in_header
            && !self.done
            && self.kept == 0
            && let Some(both) = whole(bytes)
        {
            (self.done, self.length, self.coding) = (true, both, both);
            return both;
        }
        while !self.done && !bytes.is_empty() {
            let (line, rest, ended) =
                match memchr::memchr(b'\n', bytes).and_then(|at| bytes.split_at_checked(at)) {
                    Some((line, rest)) => (line, rest.get(1..).unwrap_or(&[]), true),
                    None => (bytes, &[][..], false),
                };
            bytes = rest;
            if !ended || self.kept > 0 {
                self.keep(line);
            }
            if ended {
                let kept = self.line;
                self.line_ended(if self.kept > 0 { kept.get(..self.kept).unwrap_or(&[]) } else { line });
                self.kept = 0;
            }
        }
        self.length && self.coding
    }

    fn keep(&mut self, more: &[u8]) {
        if let Some(space) = self.line.get_mut(self.kept..) {
            let count = space.len().min(more.len());
            space.iter_mut().zip(more).for_each(|(to, from)| *to = *from);
            self.kept += count;
        }
    }

    fn line_ended(&mut self, line: &[u8]) {
        if matches!(line, [] | [b'\r']) {
            // Empty lines before a request line are skipped by the parser, too.
            self.done = self.in_header;
            return;
        }
        self.in_header = true;
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b't') => self.coding |= starts_with(line, b"transfer-encoding:"),
            Some(b'c') => self.length |= starts_with(line, b"content-length:"),
            _ => {}
        }
    }
}

/// A header that came in one piece, as nearly all do; `None` when this is not a whole one.
fn whole(bytes: &[u8]) -> Option<bool> {
    let (mut length, mut coding) = (false, false);
    if matches!(bytes, [] | [b'\r' | b'\n', ..]) {
        return None;
    }
    for end in memchr::memchr_iter(b'\n', bytes) {
        match bytes.get(end.saturating_add(1)..).unwrap_or(&[]) {
            [b'\n', ..] | [b'\r', b'\n', ..] => return Some(length && coding),
            line @ [b't' | b'T', ..] => coding |= starts_with(line, b"transfer-encoding:"),
            line @ [b'c' | b'C', ..] => length |= starts_with(line, b"content-length:"),
            _ => {}
        }
    }
    None
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: &str =
        "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-LENGTH: 5\r\ntransfer-Encoding: chunked\r\n\r\n";
    const LENGTH: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n";

    proptest! {
        #[test]
        fn however_it_is_cut(cuts in prop::collection::vec(1_usize..30, 0..10)) {
            for (text, expected) in [
                (BOTH.to_owned(), true),
                (BOTH.replace('\r', ""), true),
                (LENGTH.to_owned(), false),
                (format!("{LENGTH}\nTransfer-Encoding: chunked\r\n"), false),
                ("GET / HTTP/1.1\r\nTransfer-Encodings: a\r\nContent-Lengthy: b\r\n\r\n".to_owned(), false),
                ("GET / HTTP/1.1\r\nX-Transfer-Encoding: a\r\nContent-Length: 1\r\n\r\n".to_owned(), false),
            ] {
                prop_assert_eq!(HeadScan::default().take(text.as_bytes()), expected, "{}", text);
                let mut scan = HeadScan::default();
                let mut rest = text.as_bytes();
                let mut both = false;
                for cut in &cuts {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    both = scan.take(piece);
                    rest = after;
                }
                if !rest.is_empty() {
                    both = scan.take(rest);
                }
                prop_assert_eq!(both, expected, "{}", text);
            }
        }

        #[test]
        fn no_bytes_panic(pieces: Vec<Vec<u8>>) {
            let mut scan = HeadScan::default();
            for piece in pieces {
                scan.take(&piece);
            }
        }
    }
}
