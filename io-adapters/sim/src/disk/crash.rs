//! What survives a crash of the machine, or a sync that fails.

use crate::chance::{Chance, Rate};

/// What a crash of the machine left and took, for traces and statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Sectors that were not synced and survived.
    pub sectors_kept: u64,
    /// Sectors that were not synced and are gone.
    pub sectors_lost: u64,
    /// Creations, renames and removals that were not synced and survived.
    pub names_kept: u64,
    /// Creations, renames and removals that were not synced and are undone.
    pub names_lost: u64,
    /// Handles that were open.
    pub handles_closed: u64,
}

/// Decides what survives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survival {
    /// For all files; drawn for each when `None`.
    style: Option<Style>,
}

/// What happens to the changes of one file.
#[derive(Debug, Clone, Copy)]
enum Style {
    Nothing,
    Everything,
    /// Each sector by itself.
    Sectors(Rate),
    /// Each write as a whole.
    Writes(Rate),
    /// So many sectors, in the order of the writes: the tail is torn.
    Front(u64),
    /// All but so many: later writes are there, earlier ones are not.
    Back(u64),
}

/// A style at work on one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSurvival {
    style: Style,
    keeps_write: bool,
    seen: u64,
    lengths: u64,
}

impl Survival {
    /// Draws how hard a crash strikes.
    pub(super) const fn draw(chance: &mut Chance) -> Self {
        let style = match chance.below(8) {
            0 | 1 => Some(Style::Nothing),
            2 => Some(Style::Everything),
            _ => None,
        };
        Self { style }
    }

    /// How many of `count` changes that can only survive in order do so.
    pub(super) const fn prefix(&self, count: u64, chance: &mut Chance) -> u64 {
        match self.style {
            Some(Style::Nothing) => 0,
            Some(Style::Everything) => count,
            _ => chance.between(0, count),
        }
    }

    /// For one file with so many sectors and changes of its length that were not synced.
    pub(super) const fn for_file(&self, sectors: u64, lengths: u64, chance: &mut Chance) -> FileSurvival {
        let style = match self.style {
            Some(style) => style,
            None => match chance.below(8) {
                0 => Style::Nothing,
                1 => Style::Everything,
                2 => Style::Sectors(Rate::percent(50)),
                3 => Style::Sectors(Rate::percent(95)),
                4 => Style::Sectors(Rate::percent(5)),
                5 => Style::Writes(Rate::percent(50)),
                6 => Style::Front(chance.between(0, sectors)),
                _ => Style::Back(chance.between(0, sectors)),
            },
        };
        let lengths = match style {
            Style::Nothing => 0,
            Style::Everything => lengths,
            _ => chance.between(0, lengths),
        };
        FileSurvival { style, keeps_write: false, seen: 0, lengths }
    }
}

impl FileSurvival {
    /// A write's sectors come next.
    pub(super) const fn begin_write(&mut self, chance: &mut Chance) {
        if let Style::Writes(rate) = self.style {
            self.keeps_write = chance.happens(rate);
        }
    }

    /// Whether the next sector survives.
    pub(super) const fn keeps_sector(&mut self, chance: &mut Chance) -> bool {
        self.seen += 1;
        match self.style {
            Style::Nothing => false,
            Style::Everything => true,
            Style::Sectors(rate) => chance.happens(rate),
            Style::Writes(_) => self.keeps_write,
            Style::Front(count) => self.seen <= count,
            Style::Back(count) => self.seen > count,
        }
    }

    /// Whether the next change of the length survives.
    pub(super) const fn keeps_length(&mut self) -> bool {
        let keeps = self.lengths > 0;
        self.lengths = self.lengths.saturating_sub(1);
        keeps
    }
}
