//! Reading a whole journal, from its first segment to its end.

use shroud_ledger::Height;
use shroud_ledger::journal::{
    End, HEADER_BYTES, Link, Output, Record, SegmentHeader, SegmentHeaderError, SegmentReader,
};
use shroud_runtime::{BlockFile, OpenOptions, Runtime};

use super::{Closed, JournalError, JournalOptions, list, segment_path};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Reads records one after the other. Changes nothing on disk.
pub(crate) struct Scan<R: Runtime> {
    runtime: R,
    options: JournalOptions,
    segments: Vec<Segment>,
    /// Which of `segments` is being read.
    current: usize,
    reading: Option<Reading<R>>,
    link: Link,
    closed: Vec<Closed>,
    end: Option<(SegmentHeader, u64, u64)>,
    /// Bytes of the last record that was read of the current segment.
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    index: u64,
    header: Result<SegmentHeader, SegmentHeaderError>,
}

struct Reading<R: Runtime> {
    reader: SegmentReader,
    file: R::File,
    offset: u64,
    piece: Vec<u8>,
}

/// Where the journal goes on.
#[derive(Clone, Debug)]
pub(crate) struct ScanEnd {
    /// The header of the segment to go on in.
    pub(crate) header: SegmentHeader,
    pub(crate) offset: u64,
    /// Where the remains of a torn record end, if they are behind `offset`.
    pub(crate) dirty: u64,
    pub(crate) link: Link,
    /// Bytes of the segment's last record, which ends at `offset`; 0: it has none.
    pub(crate) last: u64,
    /// The segments before it.
    pub(crate) closed: Vec<Closed>,
}

impl<R: Runtime> Scan<R> {
    /// A scan of the journal in a directory; `None`: it has no segments.
    pub(crate) async fn new(runtime: R, options: JournalOptions) -> Result<Option<Self>, JournalError> {
        let mut segments = Vec::new();
        for index in list(&runtime, &options.directory).await? {
            let header = read_header(&runtime, &options, index).await?;
            if let Ok(header) = &header
                && header.genesis != options.genesis
            {
                return Err(JournalError::OtherChain { found: header.genesis, expected: options.genesis });
            }
            segments.push(Segment { index, header });
        }
        let Some(first) = segments.first() else { return Ok(None) };
        // Of earlier segments nothing is left, so that the first one's own word stands for them.
        let link = match &first.header {
            _ if first.index == 0 => Link::genesis(options.genesis),
            Ok(header) => header.link,
            Err(error) => return Err(JournalError::Header { segment: first.index, error: *error }),
        };
        let (reading, closed, end) = (None, Vec::new(), None);
        Ok(Some(Self { runtime, options, segments, current: 0, reading, link, closed, end, last: 0 }))
    }

    /// The height of the next record that the journal has, or will have.
    pub(crate) fn next_height(&self) -> Height {
        self.link.next
    }

    /// The next record; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let Some(segment) = self.segments.get(self.current).copied() else { return Ok(None) };
            let mut reading = match self.reading.take() {
                Some(reading) => reading,
                None => self.open(segment).await?,
            };
            let output = reading.next(&self.options, segment.index).await?;
            match output {
                Output::Record(record) => {
                    self.last = record.bytes as u64;
                    self.link = Link { next: record.height.next(), previous: record.hash };
                    self.reading = Some(reading);
                    return Ok(Some(record));
                }
                Output::Damaged(damage) => return Err(damage.into()),
                Output::End(
                    End::Clean { offset, dirty, header, link } | End::Torn { offset, dirty, header, link },
                ) => {
                    self.link = link;
                    // Nothing follows a record that was not synced.
                    if self.current + 1 < self.segments.len() {
                        self.last = 0;
                    }
                    if let Some((before, ..)) = self.end.replace((header, offset, dirty)) {
                        let last = Height(header.link.next.0.saturating_sub(1));
                        self.closed.push(Closed { index: before.index, last });
                    }
                    self.current += 1;
                }
            }
        }
    }

    /// The segment and the offset where the journal ends, once [`Scan::next`] has said `None`.
    pub(crate) fn place(&self) -> (u64, u64) {
        self.end.as_ref().map_or((0, 0), |(header, offset, _)| (header.index, *offset))
    }

    /// Where the journal goes on, once [`Scan::next`] has said `None`. `None`: it was not read to its end.
    pub(crate) fn end(self) -> Option<ScanEnd> {
        let (header, offset, dirty) = self.end?;
        Some(ScanEnd { header, offset, dirty, link: self.link, last: self.last, closed: self.closed })
    }

    async fn open(&self, segment: Segment) -> Result<Reading<R>, JournalError> {
        let path = segment_path(&self.options.directory, segment.index);
        let file = self
            .runtime
            .open(&path, OpenOptions::reading())
            .await
            .map_err(JournalError::io("open", &path))?;
        let successor = self.segments.get(self.current + 1).and_then(|next| next.header.ok());
        let successor = successor.map(|header| header.link);
        let reader = SegmentReader::new(self.options.genesis, segment.index, self.link, successor);
        Ok(Reading { reader, file, offset: 0, piece: vec![0; PIECE_BYTES] })
    }
}

impl<R: Runtime> Reading<R> {
    async fn next(&mut self, options: &JournalOptions, index: u64) -> Result<Output, JournalError> {
        loop {
            if let Some(output) = self.reader.poll_output() {
                return Ok(output);
            }
            let mut piece = std::mem::take(&mut self.piece);
            piece.resize(PIECE_BYTES, 0);
            let lent = self.file.read_at(piece, self.offset).await;
            let count = lent
                .result
                .map_err(|error| JournalError::io("read", &segment_path(&options.directory, index))(error))?;
            self.piece = lent.buffer;
            self.offset = self.offset.saturating_add(count as u64);
            self.reader.handle_bytes(self.piece.get(..count).unwrap_or_default());
            if count < PIECE_BYTES {
                self.reader.handle_end();
            }
        }
    }
}

async fn read_header<R: Runtime>(
    runtime: &R,
    options: &JournalOptions,
    index: u64,
) -> Result<Result<SegmentHeader, SegmentHeaderError>, JournalError> {
    let path = segment_path(&options.directory, index);
    let file = runtime.open(&path, OpenOptions::reading()).await.map_err(JournalError::io("open", &path))?;
    let lent = file.read_at(vec![0; HEADER_BYTES], 0).await;
    let count = lent.result.map_err(JournalError::io("read", &path))?;
    Ok(SegmentHeader::decode(lent.buffer.get(..count).unwrap_or_default()))
}
