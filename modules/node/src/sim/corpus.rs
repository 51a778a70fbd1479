//! Seeds that once failed, or that reach something rare: they are played for ever.

use super::scenario::{Scenario, find};

/// Reads a corpus: a line is a scenario, a seed, and why it is there; `#` begins a comment.
///
/// # Errors
/// A sentence that names the first line that is neither.
pub fn parse(text: &str) -> Result<Vec<(&'static Scenario, u64)>, String> {
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let mut words = line.split_whitespace();
            let scenario = words.next().and_then(find);
            let seed = words.next().and_then(|word| word.parse().ok());
            match (scenario, seed, words.next()) {
                (Some(scenario), Some(seed), Some(_)) => Ok((scenario, seed)),
                _ => Err(format!("line {number} is not a scenario, a seed and a reason: {line}")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_wrong_ones_named() {
        let read = parse("# past failures\n\ntransfers 7 lost a wake-up\nrestarts 12 torn\n").unwrap();
        let read: Vec<_> = read.iter().map(|(scenario, seed)| (scenario.name, *seed)).collect();
        assert_eq!(read, [("transfers", 7), ("restarts", 12)]);
        for wrong in ["transfers 7", "nothing 7 why", "transfers x why"] {
            assert!(parse(wrong).is_err_and(|error| error.starts_with("line 1 ")), "{wrong}");
        }
    }
}
