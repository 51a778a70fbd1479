//! Who judges a run. Each oracle looks at one promise and says in one sentence how it was broken.

mod beyond;
mod broken;
mod commitment;
mod conservation;
mod durability;
mod effects;
mod leaks;
mod limits;
mod linearizability;
mod liveness;
mod replies;

use super::evidence::Evidence;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// How.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.oracle, self.message)
    }
}

type Check = fn(&Evidence) -> Result<(), String>;

/// All oracles by name.
const ORACLES: [(&str, Check); 10] = [
    ("broken", broken::check),
    ("liveness", liveness::check),
    ("durability", durability::check),
    ("effects", effects::check),
    ("conservation", conservation::check),
    ("replies", replies::check),
    ("linearizability", linearizability::check),
    ("commitment", commitment::check),
    ("leaks", leaks::check),
    ("limits", limits::check),
];

/// Has every oracle look.
#[must_use]
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    if let Some(beyond) = &evidence.beyond {
        let (rest, mut violations) = beyond::excuse(evidence, beyond);
        violations.extend(judge(&rest));
        return violations;
    }
    let look = |(oracle, check): &(&'static str, Check)| {
        check(evidence).err().map(|message| Violation { oracle, message })
    };
    ORACLES.iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests;
