//! A server's reasons (RFC 7807; RFC 8555, 6.7).

use crate::limits::{MAX_SUBPROBLEMS, MAX_TEXT};
use serde::Deserialize;
use std::fmt;

/// What the types of ACME's own problems begin with.
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Why a server did not do what it was asked to. Texts are cut to [`MAX_TEXT`] bytes and have no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Problem {
    /// The kind: `badNonce`, `rateLimited` (RFC 8555, 6.7), or the address of one that is not ACME's.
    pub kind: String,
    /// What a person should know.
    pub detail: String,
    /// What it consists of, the first [`MAX_SUBPROBLEMS`].
    pub subproblems: Vec<Subproblem>,
}

/// A part of a [`Problem`], about one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Subproblem {
    /// The kind.
    pub kind: String,
    /// What a person should know.
    pub detail: String,
    /// The name it is about, or nothing.
    pub name: String,
}

impl Problem {
    /// A response's body; one that is no problem document is its own detail.
    pub(crate) fn of(body: &[u8]) -> Self {
        match serde_json::from_slice::<Document>(body) {
            Ok(document) => document.into(),
            Err(_) => Self { detail: cut(&String::from_utf8_lossy(body)), ..Self::default() },
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind.is_empty() { "no reason of ACME's" } else { &self.kind };
        write!(f, "{kind}: {}", self.detail)?;
        for Subproblem { kind, detail, name } in &self.subproblems {
            write!(f, "; {name}: {kind}: {detail}")?;
        }
        Ok(())
    }
}

/// As it is written.
#[derive(Deserialize)]
pub(crate) struct Document {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    subproblems: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
    identifier: Option<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    value: String,
}

impl From<Document> for Problem {
    fn from(document: Document) -> Self {
        let parts = document.subproblems.into_iter().take(MAX_SUBPROBLEMS);
        let subproblems = parts.map(|part| Subproblem {
            kind: kind(&part.kind),
            detail: cut(&part.detail),
            name: part.identifier.map(|identifier| cut(&identifier.value)).unwrap_or_default(),
        });
        Self { kind: kind(&document.kind), detail: cut(&document.detail), subproblems: subproblems.collect() }
    }
}

fn kind(text: &str) -> String {
    cut(text.strip_prefix(PREFIX).unwrap_or(text))
}

/// A text that may be shown: the first [`MAX_TEXT`] bytes, whole characters, without control characters.
pub(crate) fn cut(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        if kept.len().saturating_add(character.len_utf8()) > MAX_TEXT {
            break;
        }
        kept.push(if character.is_control() { ' ' } else { character });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_says_what_the_server_said() {
        // The example of RFC 8555, 6.7.1.
        let problem = Problem::of(
            br#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some of the identifiers requested were rejected",
            "subproblems": [{"type": "urn:ietf:params:acme:error:malformed", "detail": "Invalid underscore in DNS name \"_example.org\"",
            "identifier": {"type": "dns", "value": "_example.org"}}]}"#,
        );
        assert_eq!(
            problem.to_string(),
            "malformed: Some of the identifiers requested were rejected; _example.org: malformed: Invalid underscore in DNS name \"_example.org\""
        );
    }

    #[test]
    fn what_is_long_or_would_move_a_cursor_is_cut() {
        let subproblems = ["{}"; MAX_SUBPROBLEMS + 1].join(",");
        let text = "\u{e4}".repeat(MAX_TEXT);
        let problem = Problem::of(
            format!(r#"{{"type":"x","detail":"\u001b[2J{text}","subproblems":[{subproblems}]}}"#).as_bytes(),
        );
        assert_eq!(problem.subproblems.len(), MAX_SUBPROBLEMS);
        assert!(problem.detail.starts_with(" [2J\u{e4}") && problem.detail.len() <= MAX_TEXT);
        assert_eq!(Problem::of(b"<html>").detail, "<html>");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            assert!(Problem::of(&bytes).detail.len() <= MAX_TEXT);
        }
    }
}
