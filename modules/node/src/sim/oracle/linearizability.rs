//! Each operation seems to take effect at one moment between its invocation and its answer.

use crate::sim::evidence::Evidence;
use crate::sim::linear::{NotLinear, check_components};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let model = evidence.model.with_chain(&chain.committed);
    let Err(error) = check_components(&model, &evidence.history) else { return Ok(()) };
    let mut message = error.to_string();
    if let NotLinear::NoOrder { stuck, .. } = error {
        for operation in stuck.iter().take(3).filter_map(|place| evidence.history.get(*place)) {
            message.push_str(&format!("\n    {operation:?}"));
        }
    }
    Err(message)
}
