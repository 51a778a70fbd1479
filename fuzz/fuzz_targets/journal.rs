//! A journal segment of any content, in pieces of any size: it ends, and nothing follows its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_crypto::Hash;
use shroud_ledger::journal::{Link, Output, SegmentReader};

fuzz_target!(|input: (Vec<u8>, u8, bool)| {
    let (bytes, piece, last) = input;
    let genesis = Hash([7; 32]);
    let successor = (!last).then(|| Link::genesis(genesis));
    let mut reader = SegmentReader::new(genesis, 0, Link::genesis(genesis), successor);
    let mut ended = false;
    let mut drain = |reader: &mut SegmentReader| {
        while let Some(output) = reader.poll_output() {
            assert!(!ended, "something follows the end");
            ended = !matches!(output, Output::Record(_));
        }
        ended
    };
    for piece in bytes.chunks(usize::from(piece) * 37 + 1) {
        reader.handle_bytes(piece);
        drain(&mut reader);
    }
    reader.handle_end();
    assert!(drain(&mut reader), "the segment has no end");
});
