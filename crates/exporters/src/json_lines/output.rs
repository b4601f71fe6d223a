//! Whole lines on their way out.

use std::io::{self, Write};

/// A place to write to that knows whether it stands at the beginning of a line.
pub(super) struct Output {
    to: Box<dyn Write + Send>,
    torn: bool,
}

impl Output {
    pub(super) fn new(to: Box<dyn Write + Send>) -> Self {
        Self { to, torn: false }
    }

    /// Writes whole lines, in one piece where the system takes it so. A line that was cut off by an error before is
    /// ended first, so that it spoils no other.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.piece(b"\n")?;
        }
        self.piece(lines)?;
        self.to.flush()
    }

    fn piece(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let (done, left) = rest.split_at(written.min(rest.len()));
                    self.torn = done.last() != Some(&b'\n');
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
