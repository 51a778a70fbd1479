//! A file's bytes as a body: read a piece at a time, as the client takes them.

use crate::http::BodyError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use shroud_runtime::BlockFile;
use shroud_runtime::file::Lent;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Bytes that are read at a time.
const PIECE: u64 = 64 * 1024;

/// What a body is made of.
pub(super) enum Part {
    /// Bytes between ranges.
    Text(Bytes),
    /// A range of the file.
    Range(Range<u64>),
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
            Self::Range(range) => range.end.saturating_sub(range.start),
        }
    }
}

type Reading = Pin<Box<dyn Future<Output = Lent<usize>> + Send>>;

/// Parts of a file and of text between them.
pub(super) struct FileBody<F> {
    file: Arc<F>,
    parts: VecDeque<Part>,
    left: u64,
    reading: Option<Reading>,
}

impl<F: BlockFile> FileBody<F> {
    pub(super) fn new(file: F, parts: impl IntoIterator<Item = Part>) -> Self {
        let parts: VecDeque<Part> = parts.into_iter().collect();
        let left = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.length()));
        Self { file: Arc::new(file), parts, left, reading: None }
    }

    /// Its length in bytes.
    pub(super) const fn length(&self) -> u64 {
        self.left
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let Lent { result, mut buffer } = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                return Poll::Ready(Some(match result {
                    // The file was cut after its length was announced: the response cannot be completed.
                    Ok(count) if count < buffer.len() => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => {
                        buffer.truncate(count);
                        Ok(buffer.into())
                    }
                    Err(error) => Err(error),
                }));
            }
            match self.parts.front_mut() {
                None => return Poll::Ready(None),
                Some(Part::Range(range)) if range.start < range.end => {
                    let length = range.end.saturating_sub(range.start).min(PIECE);
                    let (file, offset) = (Arc::clone(&self.file), range.start);
                    range.start = range.start.saturating_add(length);
                    let buffer = vec![0; usize::try_from(length).unwrap_or(0)];
                    self.reading = Some(Box::pin(async move { file.read_at(buffer, offset).await }));
                }
                Some(_) => {
                    if let Some(Part::Text(text)) = self.parts.pop_front()
                        && !text.is_empty()
                    {
                        return Poll::Ready(Some(Ok(text)));
                    }
                }
            }
        }
    }
}

impl<F: BlockFile> http_body::Body for FileBody<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            None => None,
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => {
                self.parts.clear();
                Some(Err(BodyError::Stream(Box::new(error))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
