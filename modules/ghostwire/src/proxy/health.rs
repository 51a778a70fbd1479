//! What active checks say about one server.

/// A server's health: up, or down, with thresholds between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    up: bool,
    /// Checks one after the other that say otherwise.
    against: u32,
    healthy: u32,
    unhealthy: u32,
}

impl Health {
    /// A server that is up, until `unhealthy` checks in a row have failed; up again after `healthy` that succeeded. Both
    /// count as 1 when 0.
    #[must_use]
    pub fn new(healthy: u32, unhealthy: u32) -> Self {
        Self { up: true, against: 0, healthy: healthy.max(1), unhealthy: unhealthy.max(1) }
    }

    /// Whether it gets requests.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// A check has ended; says whether the server's state has changed by it.
    pub fn handle_check(&mut self, success: bool) -> bool {
        if success == self.up {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let threshold = if self.up { self.unhealthy } else { self.healthy };
        let changed = self.against >= threshold;
        if changed {
            self.up = success;
            self.against = 0;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_in_a_row() {
        let mut health = Health::new(2, 3);
        let seen: Vec<bool> = [false, false, true, false, false, false, true, false, true, true]
            .map(|check| {
                health.handle_check(check);
                health.is_up()
            })
            .to_vec();
        assert_eq!(seen, [true, true, true, true, true, false, false, false, false, true]);
        let mut hasty = Health::new(0, 0);
        assert!(hasty.handle_check(false) && !hasty.is_up());
        assert!(hasty.handle_check(true) && hasty.is_up());
    }
}
