//! What is going on, for people: a bar on a terminal, plain lines elsewhere. All on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// How often the bar moves by itself, so that a long step is seen to live.
const TICK: Duration = Duration::from_millis(120);

/// Shows steps as they begin.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    done: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            let style = ProgressStyle::with_template(
                "{elapsed_precise} {wide_bar:.cyan/dim} {pos}/{len}\n{spinner} {msg}",
            );
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, steps: 0, done: 0 }
    }

    /// How many steps there will be in all.
    pub(crate) fn expect(&mut self, steps: u64) {
        self.steps = steps;
        if let Some(bar) = &self.bar {
            bar.set_length(steps);
        }
    }

    /// A step begins: a line elsewhere than on a terminal.
    pub(crate) fn step(&mut self, what: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done - 1);
                bar.set_message(what.to_owned());
            }
            None if self.steps > 0 => eprintln!("[{}/{}] {what}", self.done.min(self.steps), self.steps),
            None => eprintln!("{what}"),
        }
    }

    /// A detail of the step: on a terminal only.
    pub(crate) fn detail(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Something that stays in view.
    pub(crate) fn note(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => eprintln!("{what}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
