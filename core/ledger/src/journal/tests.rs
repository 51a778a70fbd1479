//! A journal in memory: written, cut, flipped, and read again in pieces of any size.

use proptest::prelude::*;
use shroud_crypto::Hash;

use super::*;
use crate::Height;

const GENESIS: Hash = Hash([7; 32]);
const LENGTH: u64 = 32 * 1024;

fn header(index: u64, link: Link) -> SegmentHeader {
    SegmentHeader { genesis: GENESIS, index, salt: 0x5a17 + index, fresh: true, sealed: true, link }
}

/// Writes records into `file` and tells where each begins, and the link after the last.
fn write(file: &mut [u8], header: &SegmentHeader, payloads: &[Vec<u8>]) -> (Vec<u64>, Link) {
    file[..HEADER_BYTES].copy_from_slice(&header.encode());
    let mut writer = SegmentWriter::new(header, file.len() as u64);
    let mut offsets = Vec::new();
    for payload in payloads {
        let (offset, bytes) = writer.append(writer.link().next, payload).unwrap();
        assert_eq!((offset % ALIGNMENT as u64, bytes.len() % ALIGNMENT), (0, 0));
        file[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
        offsets.push(offset);
    }
    (offsets, writer.link())
}

fn read(file: &[u8], index: u64, link: Link, successor: Option<Link>, piece: usize) -> (Vec<Record>, Output) {
    let mut reader = SegmentReader::new(GENESIS, index, link, successor);
    let mut records = Vec::new();
    let mut pieces = file.chunks(piece);
    loop {
        match reader.poll_output() {
            Some(Output::Record(record)) => records.push(record),
            Some(end) => {
                assert_eq!(reader.poll_output(), None);
                return (records, end);
            }
            None => match pieces.next() {
                Some(piece) => reader.handle_bytes(piece),
                None => reader.handle_end(),
            },
        }
    }
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Of all lengths, and those about a sector's content.
    let length = prop_oneof![4 => 0..1500usize, 1 => 445..450usize, 1 => 956..961usize];
    let payload = length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length));
    proptest::collection::vec(payload, 0..8)
}

fn start() -> Link {
    Link::genesis(GENESIS)
}

proptest! {
    #[test]
    fn reads_what_was_written(payloads in payloads(), piece in 1..5000usize, garbage: bool, sealed: bool) {
        let mut file = vec![0; LENGTH as usize];
        if garbage {
            // A recycled file: full of another journal's records.
            let former: Vec<_> = (0..18).map(|number| vec![number; 1100]).collect();
            write(&mut file, &header(9, Link { next: Height(90), previous: GENESIS }), &former);
        }
        let head = SegmentHeader { fresh: !garbage, sealed, ..header(0, start()) };
        let (offsets, link) = write(&mut file, &head, &payloads);
        let (records, end) = read(&file, 0, start(), None, piece);
        let read_back: Vec<_> = records.iter().map(|record| record.payload.clone()).collect();
        prop_assert_eq!(&read_back, &payloads);
        prop_assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), offsets);
        match end {
            Output::End(End::Clean { link: at, .. }) => prop_assert_eq!(at, link),
            Output::End(End::Torn { link: at, .. }) if garbage => prop_assert_eq!(at, link),
            other => prop_assert!(false, "{other:?}"),
        }
        // As a segment in the middle it ends cleanly in any case.
        let (_, end) = read(&file, 0, start(), Some(link), piece);
        prop_assert!(matches!(end, Output::End(End::Clean { link: at, .. }) if at == link), "{end:?}");
    }

    /// Whatever one bit says, no wrong record comes out: it is damage, except that in a recycled file the last record may
    /// count as torn, and so may one that is not sealed and has a sector of zeros or ends in a zero byte.
    #[test]
    fn any_flipped_byte_is_found(
        payloads in payloads(), at in 0..LENGTH as usize, bit in 0..8u32, in_use: bool, fresh: bool, sealed: bool,
        zeros_in_last in 0..1200usize
    ) {
        let mut payloads = payloads;
        if let Some(last) = payloads.last_mut() {
            let kept = last.len().saturating_sub(zeros_in_last);
            last[kept..].fill(0);
        }
        let mut file = vec![0; LENGTH as usize];
        let head = SegmentHeader { fresh, sealed, ..header(0, start()) };
        let (offsets, link) = write(&mut file, &head, &payloads);
        let used = offsets.last().copied().unwrap_or(0) as usize + 2048;
        let at = if in_use { at % used } else { at };
        file[at] ^= 1 << bit;
        // Where a write that was cut off could have left the last record so.
        let last_at = offsets.last().map_or(HEADER_BYTES, |last| *last as usize);
        let length = payloads.last().map_or(0, Vec::len);
        let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let ambiguous = !fresh
            || !sealed
                && (file[last_at..last_at + record::total_bytes(length, sealed)].chunks(ALIGNMENT).any(zeros)
                    || zeros(&file[last_at + RECORD_HEADER_BYTES..last_at + ALIGNMENT])
                    || file[last_at + RECORD_HEADER_BYTES + length - 1] == 0);

        let (records, end) = read(&file, 0, start(), None, 700);
        for (record, payload) in records.iter().zip(&payloads) {
            prop_assert_eq!(&record.payload, payload);
        }
        let last = offsets.last().copied();
        match end {
            Output::Record(_) => prop_assert!(false),
            Output::Damaged(damage) => {
                prop_assert!(damage.offset as usize <= at);
                let before = last.is_some_and(|last| damage.offset < last);
                let altered = matches!(damage.reason, Reason::Altered { .. }) && fresh;
                prop_assert!(before || altered || matches!(damage.reason, Reason::Header(_)), "{damage}");
            }
            Output::End(End::Clean { offset, link: ended, .. } | End::Torn { offset, link: ended, .. }) => {
                let lost = payloads.len() - records.len();
                prop_assert!(lost <= usize::from(ambiguous));
                if lost == 1 {
                    prop_assert!(at as u64 >= last.unwrap() && offset == last.unwrap());
                } else {
                    prop_assert_eq!(ended, link);
                }
            }
        }
        // With a segment behind it, nothing at all may be lost.
        let (records, end) = read(&file, 0, start(), Some(link), 700);
        match end {
            Output::End(End::Clean { .. }) => prop_assert_eq!(records.len(), payloads.len()),
            Output::Damaged(_) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// A crash leaves any part of the sectors of the last record, or its bytes up to a point: it is cut, and all before it stays.
    #[test]
    fn torn_records_are_cut(
        payloads in payloads(), torn in proptest::collection::vec(any::<u8>(), 1..3000), sectors: u8, sealed: bool,
        upto in proptest::option::of(0..3100usize)
    ) {
        let mut file = vec![0; LENGTH as usize];
        let head = SegmentHeader { sealed, ..header(0, start()) };
        let (_, link) = write(&mut file, &head, &payloads);
        let mut all = payloads.clone();
        all.push(torn);
        let mut whole = file.clone();
        let (offsets, _) = write(&mut whole, &head, &all);
        let last = *offsets.last().unwrap() as usize;
        let mut complete = true;
        for (number, (to, from)) in file[last..].chunks_mut(ALIGNMENT).zip(whole[last..].chunks(ALIGNMENT)).enumerate() {
            if let Some(upto) = upto {
                let upto = upto.saturating_sub(number * ALIGNMENT).min(ALIGNMENT);
                to[..upto].copy_from_slice(&from[..upto]);
            } else if sectors >> (number % 8) & 1 == 1 {
                to.copy_from_slice(from);
            }
            complete &= to == from;
        }
        let (records, end) = read(&file, 0, start(), None, 4096);
        prop_assert_eq!(records.len(), if complete { all.len() } else { payloads.len() });
        if !complete {
            match end {
                Output::End(End::Clean { offset, link: at, .. } | End::Torn { offset, link: at, .. }) => {
                    prop_assert_eq!((offset as usize, at), (last, link));
                    let mut writer = SegmentWriter::resume(&head, LENGTH, offset, at);
                    let (at, bytes) = writer.append(link.next, b"again").unwrap();
                    file[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
                }
                other => prop_assert!(false, "{other:?}"),
            }
            let (records, _) = read(&file, 0, start(), None, 4096);
            prop_assert_eq!(records.last().map(|record| record.payload.as_slice()), Some(&b"again"[..]));
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..9000), begun: bool, piece in 1..3000usize) {
        let mut bytes = bytes;
        if begun {
            bytes.splice(0..0, header(0, start()).encode());
        }
        let _ = read(&bytes, 0, start(), None, piece);
    }
}

#[test]
fn headers_of_the_first_version_are_read_and_say_nothing_of_the_file() {
    let new = header(3, start());
    assert_eq!(SegmentHeader::decode(&new.encode()), Ok(new));
    let recycled = SegmentHeader { fresh: false, ..new };
    assert_eq!(SegmentHeader::decode(&recycled.encode()), Ok(recycled));
    let second = SegmentHeader { sealed: false, ..new };
    assert_eq!(SegmentHeader::decode(&second.encode()), Ok(second));
    let recycled = SegmentHeader { sealed: false, ..recycled };
    // The first version: without the last field.
    let mut page = new.encode();
    page[8] = 1;
    let end = 8 + 4 + 32 + 8 + 8 + 8 + 32;
    let crc = crc32c::crc32c(&page[..end]);
    page[end..].fill(0);
    page[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&page), Ok(recycled));
    page[8] = 4;
    assert_eq!(SegmentHeader::decode(&page), Err(SegmentHeaderError::Checksum));
}

#[test]
fn a_last_record_that_was_changed_is_damage_where_the_file_was_new() {
    for (fresh, sector) in [(true, 0), (true, 1), (true, 2), (false, 1)] {
        let mut file = vec![0; LENGTH as usize];
        let head = SegmentHeader { fresh, ..header(0, start()) };
        let (offsets, _) = write(&mut file, &head, &[vec![1; 100], vec![2; 1200]]);
        let last = offsets[1];
        file[last as usize + sector * ALIGNMENT + 40] ^= 4;
        match read(&file, 0, start(), None, 4096).1 {
            Output::Damaged(damage) if fresh => {
                let altered = Reason::Altered { height: Height(2) };
                assert_eq!((damage.segment, damage.offset, damage.reason), (0, last, altered));
            }
            Output::End(End::Torn { offset, dirty, .. }) if !fresh => {
                assert_eq!((offset, dirty), (last, last + 3 * ALIGNMENT as u64));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A length that says too much would cover sectors that were never written: only its checksum tells that from a torn write.
#[test]
fn a_length_that_was_changed_is_damage_where_headers_are_sealed() {
    for sealed in [true, false] {
        for bit in 0..22 {
            let mut file = vec![0; LENGTH as usize];
            let head = SegmentHeader { sealed, ..header(0, start()) };
            let (offsets, _) = write(&mut file, &head, &[vec![1; 100], vec![2; 300]]);
            let last = offsets[1] as usize;
            file[last + 8 + bit / 8] ^= 1 << (bit % 8);
            match read(&file, 0, start(), None, 4096).1 {
                Output::Damaged(Damage { reason: Reason::Altered { height: Height(2) }, .. }) => {}
                Output::End(End::Torn { .. }) if !sealed => {}
                other => panic!("{sealed} {bit}: {other:?}"),
            }
        }
    }
}

/// Where headers and sectors cannot vouch for themselves, a record that ends in zeros may pass for a torn one.
#[test]
fn a_last_record_that_ends_in_zeros_is_not_taken_for_torn_where_it_is_sealed() {
    for sealed in [true, false] {
        for length in [1, 448, 511, 2000] {
            let mut file = vec![0; LENGTH as usize];
            let head = SegmentHeader { sealed, ..header(0, start()) };
            let mut payload = vec![0; length];
            payload[0] = 1;
            let (offsets, _) = write(&mut file, &head, &[vec![1; 100], payload]);
            file[offsets[1] as usize + RECORD_HEADER_BYTES] ^= 2;
            match read(&file, 0, start(), None, 4096).1 {
                Output::Damaged(Damage { reason: Reason::Altered { height: Height(2) }, .. }) => {}
                Output::End(End::Torn { .. }) if !sealed && length > 1 => {}
                other => panic!("{sealed} {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn segments_chain() {
    let (mut first, mut second) = (vec![0; LENGTH as usize], vec![0; LENGTH as usize]);
    let (_, link) = write(&mut first, &header(0, start()), &[vec![1], vec![2]]);
    write(&mut second, &header(1, link), &[vec![3]]);
    let (records, _) = read(&second, 1, link, None, 512);
    assert_eq!(records[0].height, Height(3));

    let foreign = |genesis, index, link| {
        let mut reader = SegmentReader::new(genesis, index, link, None);
        reader.handle_bytes(&second);
        match reader.poll_output() {
            Some(Output::Damaged(Damage { reason: Reason::Foreign { field }, .. })) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(foreign(Hash([8; 32]), 1, link), "genesis hash");
    assert_eq!(foreign(GENESIS, 2, link), "index");
    assert_eq!(foreign(GENESIS, 1, Link { next: Height(2), ..link }), "first height");
    assert_eq!(foreign(GENESIS, 1, Link { previous: GENESIS, ..link }), "previous record");
}

#[test]
fn writer_keeps_its_limits() {
    let head = header(0, start());
    let mut writer = SegmentWriter::new(&head, LENGTH);
    assert_eq!(
        writer.append(Height(2), b"").unwrap_err(),
        WriteError::Height { stated: Height(2), expected: Height(1) }
    );
    assert_eq!(writer.append(Height(1), &vec![0; LENGTH as usize]), Err(WriteError::SegmentFull));
    let large = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert_eq!(writer.append(Height(1), &large), Err(WriteError::TooLarge { bytes: large.len() }));
    assert!(writer.append(Height(1), b"x").is_ok());
}
