//! From bytes to messages.
//!
//! A frame that is there as a whole becomes a message without being copied, unless it is small. A frame that arrives in
//! pieces is taken piece by piece, so that its beginning is judged before its end is there and nobody can make the
//! receiver set room aside by announcing a length.

use crate::deflate::Decompressor;
use crate::error::Error;
use crate::frame::{Expected, Header, Opcode};
use crate::mask;
use crate::message::{Message, Text};
use crate::settings::Settings;
use crate::utf8::Validator;
use bytes::{Buf as _, Bytes, BytesMut};
use std::time::Instant;

/// Payloads up to this length are copied out of the buffer: cheaper than sharing it, and it can be used again.
const COPIED: usize = 1024;

/// Compressed bytes that are decompressed at a time: they may become a thousand times as many.
const COMPRESSED_PIECE: usize = 256;

/// Decompressed bytes after which others are let go first.
const DECOMPRESSED_AT_ONCE: usize = 64 * 1024;

/// What a frame brought.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Message),
    Ping(Bytes),
    Pong(Bytes),
    /// A close frame's payload.
    Close(Bytes),
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct Inbound {
    expected: Expected,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    message: Option<Assembly>,
    decompressor: Option<Box<Decompressor>>,
    busy: bool,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    /// Payload bytes taken so far, and still to come.
    taken: usize,
    left: usize,
}

/// A message that is not complete.
#[derive(Debug)]
struct Assembly {
    is_text: bool,
    compressed: bool,
    data: Vec<u8>,
    text: Validator,
    fragments: usize,
    since: Instant,
}

impl Inbound {
    pub(crate) fn new(masked: bool, decompressor: Option<Decompressor>) -> Self {
        let expected = Expected { masked, deflate: decompressor.is_some() };
        Self { expected, frame: None, message: None, decompressor: decompressor.map(Box::new), busy: false }
    }

    /// When the message that is arriving began.
    pub(crate) fn message_since(&self) -> Option<Instant> {
        self.message.as_ref().map(|message| message.since)
    }

    /// Whether the last call has stopped although it could go on.
    pub(crate) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Takes the next message or control frame out of `input`; `None` when more bytes are needed, or when this has taken long
    /// enough and is to be called again.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        settings: &Settings,
    ) -> Result<Option<Incoming>, Error> {
        let mut decompressed = 0_usize;
        self.busy = false;
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => {
                    let Some((header, size)) = Header::parse(input, self.expected)? else { return Ok(None) };
                    let frame = self.begin(now, &header, settings)?;
                    input.advance(size);
                    self.frame = Some(frame);
                    frame
                }
            };
            if frame.opcode.is_control() {
                if input.len() < frame.left {
                    return Ok(None);
                }
                self.frame = None;
                return Ok(Some(control(&frame, input)));
            }
            if let Some(message) = self.whole(&frame, input)? {
                return Ok(Some(Incoming::Message(message)));
            }
            if input.is_empty() && frame.left > 0 {
                return Ok(None);
            }
            if decompressed >= DECOMPRESSED_AT_ONCE {
                self.busy = true;
                return Ok(None);
            }
            if let Some(message) = self.piece(frame, input, settings, &mut decompressed)? {
                return Ok(Some(Incoming::Message(message)));
            }
        }
    }

    /// Judges a frame by its header.
    fn begin(&mut self, now: Instant, header: &Header, settings: &Settings) -> Result<Frame, Error> {
        let Header { fin, compressed, opcode, mask, length } = *header;
        let left = usize::try_from(length).ok().filter(|length| *length <= settings.frame_bytes);
        let left = left.ok_or(Error::FrameTooLong { limit: settings.frame_bytes });
        if opcode.is_control() {
            // At most 125 bytes, whatever the limit.
            let left = usize::try_from(length).map_err(|_| Error::LongControl)?;
            return Ok(Frame { fin, opcode, mask, taken: 0, left });
        }
        match (&mut self.message, opcode) {
            (None, Opcode::Continuation) => return Err(Error::Continuation),
            (Some(_), Opcode::Text | Opcode::Binary) => return Err(Error::Interleaved),
            (Some(message), _) => {
                message.fragments += 1;
                if message.fragments > settings.fragments {
                    return Err(Error::TooManyFragments { limit: settings.fragments });
                }
            }
            (message, _) => {
                *message = Some(Assembly {
                    is_text: opcode == Opcode::Text,
                    compressed,
                    data: Vec::new(),
                    text: Validator::default(),
                    fragments: 1,
                    since: now,
                });
            }
        }
        let left = left?;
        let uncompressed = self.message.as_ref().filter(|message| !message.compressed);
        if uncompressed
            .is_some_and(|message| message.data.len().saturating_add(left) > settings.message_bytes)
        {
            return Err(Error::MessageTooLong { limit: settings.message_bytes });
        }
        Ok(Frame { fin, opcode, mask, taken: 0, left })
    }

    /// The usual case: an uncompressed message of one frame, all of it in the buffer.
    fn whole(&mut self, frame: &Frame, input: &mut BytesMut) -> Result<Option<Message>, Error> {
        let is_first = frame.opcode != Opcode::Continuation && frame.taken == 0;
        if !frame.fin || !is_first || input.len() < frame.left {
            return Ok(None);
        }
        let Some(Assembly { compressed: false, is_text, .. }) = self.message else { return Ok(None) };
        let payload = take(frame, input);
        if is_text && std::str::from_utf8(&payload).is_err() {
            return Err(Error::Utf8);
        }
        (self.frame, self.message) = (None, None);
        Ok(Some(message(is_text, payload)))
    }

    /// Takes what is there of a frame's payload.
    fn piece(
        &mut self,
        mut frame: Frame,
        input: &mut BytesMut,
        settings: &Settings,
        decompressed: &mut usize,
    ) -> Result<Option<Message>, Error> {
        let Some(message) = &mut self.message else { return Err(Error::Continuation) };
        let most = if message.compressed { COMPRESSED_PIECE } else { usize::MAX };
        let size = frame.left.min(input.len()).min(most);
        if let (Some(mask), Some(piece)) = (frame.mask, input.get_mut(..size)) {
            mask::apply(piece, mask, frame.taken);
        }
        let piece = input.get(..size).unwrap_or_default();
        let judged = message.data.len();
        frame.taken = frame.taken.saturating_add(size);
        frame.left = frame.left.saturating_sub(size);
        let ended = frame.fin && frame.left == 0;
        let outcome = match &mut self.decompressor {
            Some(decompressor) if message.compressed => {
                let (data, limit) = (&mut message.data, settings.message_bytes);
                let mut outcome = decompressor.decompress(piece, data, limit);
                if ended && outcome.is_ok() {
                    outcome = decompressor.finish(data, limit);
                }
                *decompressed = decompressed.saturating_add(data.len().saturating_sub(judged));
                outcome
            }
            _ => {
                message.data.extend_from_slice(piece);
                Ok(())
            }
        };
        input.advance(size);
        if message.is_text {
            // What came out before decompression failed is judged first, so that the error is the same one in whatever
            // pieces the message came.
            let allowed = message.data.len().min(settings.message_bytes);
            if !message.text.accept(message.data.get(judged..allowed).unwrap_or_default()) {
                return Err(Error::Utf8);
            }
        }
        outcome?;
        if ended && message.is_text && !message.text.is_complete() {
            return Err(Error::Utf8);
        }
        self.frame = (frame.left > 0).then_some(frame);
        if !ended {
            return Ok(None);
        }
        let done = self.message.take().map(|done| {
            let mut data = done.data;
            // A message may live long; what decompression made room for need not.
            if data.capacity() / 2 > data.len() {
                data.shrink_to_fit();
            }
            self::message(done.is_text, data.into())
        });
        Ok(done)
    }
}

fn control(frame: &Frame, input: &mut BytesMut) -> Incoming {
    let payload = take(frame, input);
    match frame.opcode {
        Opcode::Ping => Incoming::Ping(payload),
        Opcode::Pong => Incoming::Pong(payload),
        _ => Incoming::Close(payload),
    }
}

/// Takes a frame's whole payload, which is in the buffer.
fn take(frame: &Frame, input: &mut BytesMut) -> Bytes {
    if let (Some(mask), Some(payload)) = (frame.mask, input.get_mut(..frame.left)) {
        mask::apply(payload, mask, 0);
    }
    if frame.left <= COPIED {
        let payload = Bytes::copy_from_slice(input.get(..frame.left).unwrap_or_default());
        input.advance(frame.left);
        payload
    } else {
        input.split_to(frame.left).freeze()
    }
}

fn message(is_text: bool, payload: Bytes) -> Message {
    if is_text { Message::Text(Text::validated(payload)) } else { Message::Binary(payload) }
}
