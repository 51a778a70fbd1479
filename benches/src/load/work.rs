//! Requests that were made before the clock started.

use super::Expected;

/// What one connection sends, in order.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    expected: Vec<Expected>,
    operations: usize,
}

/// What all connections send: lane `i` goes over connection `i`.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// One lane for each connection.
    pub lanes: Vec<Lane>,
}

impl Lane {
    /// Adds a request and what must come back.
    pub fn push(&mut self, request: &[u8], expected: Expected) {
        self.bytes.extend_from_slice(request);
        self.ends.push(self.bytes.len());
        self.expected.push(expected);
        self.operations = self.ends.len();
    }

    /// Sends the lane's requests over and over until so many have been sent: for requests that change nothing.
    pub fn repeat(&mut self, operations: usize) {
        self.operations = if self.ends.is_empty() { 0 } else { operations };
    }

    /// How many requests are sent in all.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// What must answer the request with this number.
    pub(crate) fn expected(&self, operation: usize) -> &Expected {
        &self.expected[operation % self.expected.len()]
    }

    /// The bytes of the requests from `first` up to `end`, or up to where the buffer wraps; and how many requests those are.
    pub(crate) fn requests(&self, first: usize, end: usize) -> (std::ops::Range<usize>, usize) {
        let count = self.ends.len();
        let index = first % count;
        let last = (index + (end - first)).min(count);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        (start..self.ends[last - 1], last - index)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Work {
    /// How many requests are sent in all.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.lanes.iter().map(Lane::operations).sum()
    }
}

/// An HTTP/1.1 POST of a JSON-RPC call.
pub(crate) fn post(body: &str) -> Vec<u8> {
    post_to("/", body)
}

/// An HTTP/1.1 POST of JSON.
pub(crate) fn post_to(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// An HTTP/1.1 GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_in_runs_and_wrap() {
        let mut lane = Lane::default();
        for text in ["a", "bb", "ccc"] {
            lane.push(text.as_bytes(), Expected::Body(text.into()));
        }
        let text = |first, end| {
            let (range, count) = lane.requests(first, end);
            (std::str::from_utf8(&lane.bytes()[range]).unwrap(), count)
        };
        assert_eq!(text(0, 1), ("a", 1));
        assert_eq!(text(1, 3), ("bbccc", 2));
        assert_eq!(text(2, 5), ("ccc", 1));
        assert_eq!(text(3, 5), ("abb", 2));
        assert_eq!(lane.expected(4), &Expected::Body(b"bb".to_vec()));
        assert_eq!(lane.operations(), 3);
        lane.repeat(10);
        assert_eq!(lane.operations(), 10);
    }
}
