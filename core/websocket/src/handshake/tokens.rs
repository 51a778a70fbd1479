//! Lists in header fields: tokens, and extensions with parameters (RFC 6455 9.1, RFC 9110 5.6).

use http::header::{HeaderMap, HeaderName};
use std::borrow::Cow;

/// Extensions in one header, and parameters in one of them, at most.
const MOST: usize = 32;

/// One extension with its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    pub(crate) parameters: Vec<Parameter<'a>>,
}

/// `name` or `name=value`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<Cow<'a, str>>,
}

/// Whether a list field holds `token`, in any case.
pub(crate) fn holds_token(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Reads a list of extensions; `None` when it is malformed.
pub(crate) fn extensions(text: &str) -> Option<Vec<Extension<'_>>> {
    let mut rest = text;
    let mut list = Vec::new();
    loop {
        // Empty elements are allowed (RFC 9110 5.6.1).
        rest = rest.trim_start();
        while let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        }
        if rest.is_empty() {
            return Some(list);
        }
        if list.len() >= MOST {
            return None;
        }
        let (extension, after) = extension(rest)?;
        list.push(extension);
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

fn extension(text: &str) -> Option<(Extension<'_>, &str)> {
    let (name, mut rest) = token(text)?;
    let mut parameters = Vec::new();
    while let Some(after) = rest.trim_start().strip_prefix(';') {
        if parameters.len() >= MOST {
            return None;
        }
        let (parameter, after) = parameter(after.trim_start())?;
        parameters.push(parameter);
        rest = after;
    }
    Some((Extension { name, parameters }, rest))
}

fn parameter(text: &str) -> Option<(Parameter<'_>, &str)> {
    let (name, rest) = token(text)?;
    let Some(after) = rest.trim_start().strip_prefix('=') else {
        return Some((Parameter { name, value: None }, rest));
    };
    let (value, rest) = value(after.trim_start())?;
    Some((Parameter { name, value: Some(value) }, rest))
}

fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.into(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            // What it holds must be a token when unquoted (RFC 6455 9.1).
            '"' => return is_token(&value).then_some((value.into(), quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|character| !is_token_character(character)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Whether `text` is a token (RFC 9110 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_character)
}

fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Vec<String>> {
        let all = extensions(text)?;
        Some(
            all.into_iter()
                .map(|extension| {
                    let mut shown = extension.name.to_owned();
                    for Parameter { name, value } in extension.parameters {
                        shown += &format!(";{name}");
                        if let Some(value) = value {
                            shown += &format!("={value}");
                        }
                    }
                    shown
                })
                .collect(),
        )
    }

    #[test]
    fn lists() {
        for (text, shown) in [
            ("", Some(vec![])),
            ("a", Some(vec!["a"])),
            ("a, b;c , ,d ; e = 1;f=\"2\"", Some(vec!["a", "b;c", "d;e=1;f=2"])),
            ("a;b=\"x\\y\"", Some(vec!["a;b=xy"])),
            ("a b", None),
            ("a;", None),
            ("a;b=", None),
            ("a;b=\"", None),
            ("a;b=\"x y\"", None),
            ("a;b=\"\"", None),
            ("ä", None),
        ] {
            let shown = shown.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(read(text), shown, "{text}");
        }
        assert!(extensions(&"a,".repeat(MOST)).is_some());
        assert!(extensions(&"a,".repeat(MOST + 1)).is_none());
        assert!(extensions(&format!("a{}", ";b".repeat(MOST))).is_some());
        assert!(extensions(&format!("a{}", ";b".repeat(MOST + 1))).is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c;=\", \\\\ä]{0,30}") {
            let _ = extensions(&text);
        }
    }
}
