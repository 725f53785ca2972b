//! A bar, or a count of bytes, on standard error, if that is a terminal.

use std::io::{self, IsTerminal as _, Read};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// With a known number of bytes.
const BAR: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// With an unknown one.
const COUNT: &str = "{spinner} {msg} {bytes} {bytes_per_sec}";

/// The progress of a copy. The drop removes it.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins at 0 of `total` bytes.
    pub fn new(name: &str, total: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = if total.is_some() { BAR } else { COUNT };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(crate::error::printable(name));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Counts bytes.
    pub fn add(&self, bytes: usize) {
        self.bar.inc(bytes as u64);
    }

    /// Sets the number of bytes.
    pub fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A reader whose bytes are counted.
pub struct Counted<R> {
    /// The reader.
    pub reader: R,
    /// Counts its bytes.
    pub progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.progress.add(length);
        Ok(length)
    }
}
