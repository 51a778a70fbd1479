//! The master format of zones (RFC 1035, 5.1): `$ORIGIN`, `$TTL`, `@`, comments, parentheses, quoted text. `$INCLUDE` is not
//! read.

use super::ZoneError;
use crate::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::parse_ttl;
use std::str::FromStr;

/// Seconds that records live when neither they nor `$TTL` say.
const DEFAULT_TTL: u32 = 3600;

pub(super) fn records(text: &str, origin: &Name) -> Result<Vec<Record>, ZoneError> {
    let mut origin = origin.clone();
    origin.set_fqdn(true);
    let mut state = State { origin, ttl: DEFAULT_TTL, owner: None };
    let mut records = Vec::new();
    for Entry { line, continues, words } in entries(text)? {
        let wrong = |reason: String| ZoneError::Line { line, reason };
        records.extend(state.take(continues, &words).map_err(wrong)?);
    }
    Ok(records)
}

/// The words of one entry, however many lines it has.
struct Entry<'a> {
    line: usize,
    /// It begins with a space: its owner is the last one.
    continues: bool,
    words: Vec<&'a str>,
}

/// Cuts a text into entries. Quoted words keep their quotes.
fn entries(text: &str) -> Result<Vec<Entry<'_>>, ZoneError> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut open: Option<usize> = None;
    for (number, line) in text.lines().enumerate() {
        let line_number = number.saturating_add(1);
        if open.is_none() {
            let continues = line.starts_with([' ', '\t']);
            entries.push(Entry { line: line_number, continues, words: Vec::new() });
        }
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                ';' => break,
                '(' if open.is_none() => {
                    open = Some(line_number);
                    1
                }
                ')' if open.is_some() => {
                    open = None;
                    1
                }
                '(' | ')' => {
                    let reason = "a parenthesis without its other half".to_owned();
                    return Err(ZoneError::Line { line: line_number, reason });
                }
                _ => {
                    let length = word(rest).ok_or_else(|| ZoneError::Line {
                        line: line_number,
                        reason: "a quote without its other half".to_owned(),
                    })?;
                    if let (Some(entry), Some(word)) = (entries.last_mut(), rest.get(..length)) {
                        entry.words.push(word);
                    }
                    length
                }
            };
            rest = rest.get(length..).unwrap_or("").trim_start();
        }
    }
    if let Some(line) = open {
        return Err(ZoneError::Line { line, reason: "a parenthesis without its other half".to_owned() });
    }
    entries.retain(|entry| !entry.words.is_empty());
    Ok(entries)
}

/// The length of the word at the beginning; none when its quote does not end.
fn word(text: &str) -> Option<usize> {
    let quoted = text.starts_with('"');
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(usize::from(quoted)) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if quoted => return Some(at.saturating_add(1)),
            ' ' | '\t' | ';' | '(' | ')' if !quoted => return Some(at),
            _ => {}
        }
    }
    if quoted { None } else { Some(text.len()) }
}

struct State {
    origin: Name,
    ttl: u32,
    owner: Option<Name>,
}

impl State {
    fn take(&mut self, continues: bool, words: &[&str]) -> Result<Option<Record>, String> {
        match words {
            ["$ORIGIN", name] => self.origin = self.name(name)?,
            ["$TTL", time] => self.ttl = parse_ttl(time).map_err(|error| error.to_string())?,
            [directive, ..] if directive.starts_with('$') => {
                return Err(format!("{directive} is not known here, or not so"));
            }
            _ => return self.record(continues, words).map(Some),
        }
        Ok(None)
    }

    fn record(&mut self, continues: bool, words: &[&str]) -> Result<Record, String> {
        let (owner, mut rest) = match words {
            rest if continues => (self.owner.clone().ok_or("there is no name to go on with")?, rest),
            [owner, rest @ ..] => (self.name(owner)?, rest),
            [] => return Err("an empty entry".to_owned()),
        };
        self.owner = Some(owner.clone());
        let (mut ttl, mut kind) = (self.ttl, None);
        // Time to live and class come in any order, or not at all.
        while let ([word, after @ ..], None) = (rest, kind) {
            if word.eq_ignore_ascii_case("IN") {
            } else if word.starts_with(|first: char| first.is_ascii_digit()) {
                ttl = parse_ttl(word).map_err(|error| error.to_string())?;
            } else {
                let upper = word.to_ascii_uppercase();
                kind =
                    Some(RecordType::from_str(&upper).map_err(|_| format!("{word} is no type of records"))?);
            }
            rest = after;
        }
        let kind = kind.ok_or("there is no type")?;
        if rest.is_empty() {
            return Err(format!("a record of type {kind} has data"));
        }
        let names: &[usize] = match kind {
            RecordType::CNAME | RecordType::NS | RecordType::PTR => &[0],
            RecordType::MX => &[1],
            RecordType::SRV => &[3],
            RecordType::SOA => &[0, 1],
            _ => &[],
        };
        let mut data = String::new();
        for (position, word) in rest.iter().enumerate() {
            if names.contains(&position) {
                data.push_str(&self.name(word)?.to_ascii());
            } else {
                data.push_str(word);
            }
            data.push(' ');
        }
        let data = RData::try_from_str(kind, &data).map_err(|error| error.to_string())?;
        let mut record = Record::from_rdata(owner, ttl, data);
        record.dns_class = DNSClass::IN;
        Ok(record)
    }

    fn name(&self, word: &str) -> Result<Name, String> {
        if word == "@" {
            return Ok(self.origin.clone());
        }
        Name::parse(word, Some(&self.origin)).map_err(|error| format!("{word} is no name: {error}"))
    }
}
