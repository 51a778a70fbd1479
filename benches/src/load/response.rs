//! One HTTP/1.1 response at the front of a buffer (RFC 9112).

/// Headers a response may have; a node sends about five.
const MAX_HEADERS: usize = 32;
/// The longest body that is waited for.
const MAX_BODY: usize = 16 << 20;

/// A complete response, borrowed from the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// Bytes it takes in the buffer.
    pub(crate) length: usize,
    /// Whether the server will close the connection.
    pub(crate) close: bool,
}

/// Reads a response; `None` while it is incomplete.
pub(crate) fn parse(input: &[u8]) -> Result<Option<Response<'_>>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let start = match head.parse(input) {
        Ok(httparse::Status::Complete(start)) => start,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("not an HTTP response: {error}")),
    };
    let mut length = None;
    let mut close = false;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length =
                std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse::<usize>().ok());
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let status = head.code.unwrap_or(0);
    let length =
        length.ok_or_else(|| format!("a response with status {status} and no usable content-length"))?;
    if length > MAX_BODY {
        return Err(format!("a response of {length} bytes, over the limit of {MAX_BODY}"));
    }
    let end = start + length;
    Ok(input.get(start..end).map(|body| Response { status, body, length: end, close }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ndate: now\r\n\r\nhelloHTTP/1.1";

    #[test]
    fn every_prefix_is_incomplete() {
        let complete = parse(WHOLE).unwrap().unwrap();
        assert_eq!((complete.status, complete.body, complete.close), (200, b"hello".as_slice(), false));
        assert!((0..complete.length).all(|end| parse(&WHOLE[..end]).unwrap().is_none()));
    }

    #[test]
    fn what_cannot_be_delimited_is_refused() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n").is_err());
        assert!(
            parse(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:0\r\n\r\n")
                .unwrap()
                .unwrap()
                .close
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
