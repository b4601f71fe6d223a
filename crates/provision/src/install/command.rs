//! Running a program that takes long, line by line.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::Work;
use super::classify::classify;
use super::error::PartError;
use super::event::Event;
use super::report::Item;

/// How often a silent program is looked at.
const TICK: Duration = Duration::from_millis(500);

/// How many ticks in a row a program may be silent: 15 minutes, longer than any single crate or package takes.
const SILENT_TICKS: u32 = 30 * 60;

/// How many of a program's last lines go into an error.
const LAST_LINES: usize = 12;

/// How much of a line is kept; a longer one is cut into several.
const LINE_LIMIT: u64 = 4096;

impl Work<'_> {
    /// Runs the command and passes on every line that it writes; a failure is told apart by what the program wrote.
    ///
    /// The program stays in our process group, so that the user's Ctrl-C ends it together with us.
    pub(super) fn run(&mut self, item: Item, program: &str, mut command: Command) -> Result<(), PartError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let not_started = |source| PartError::NotStarted { program: program.to_owned(), source };
        let mut child = command.spawn().map_err(not_started)?;
        let (sender, lines) = sync_channel(64);
        if let Some(stdout) = child.stdout.take() {
            pass_on(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            pass_on(stderr, sender);
        }
        let mut last = VecDeque::with_capacity(LAST_LINES);
        let status = self.follow(item, &mut child, &lines, &mut last).map_err(not_started)?;
        let said = || last.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(classify(program, &status.to_string(), said())),
            None => Err(PartError::CommandSilent {
                program: program.to_owned(),
                limit_s: (TICK * SILENT_TICKS).as_secs(),
                said: said(),
            }),
        }
    }

    /// Follows the program to its end; nothing where it was silent for too long and was killed.
    fn follow(
        &mut self,
        item: Item,
        child: &mut Child,
        lines: &Receiver<String>,
        last: &mut VecDeque<String>,
    ) -> std::io::Result<Option<ExitStatus>> {
        let mut silent = 0;
        loop {
            match lines.recv_timeout(TICK) {
                Ok(text) => {
                    silent = 0;
                    (self.tell)(&Event::Line { item, text: &text });
                    if last.len() == LAST_LINES {
                        last.pop_front();
                    }
                    last.push_back(text);
                }
                Err(RecvTimeoutError::Disconnected) => return child.wait().map(Some),
                Err(RecvTimeoutError::Timeout) => {
                    // A service that a package started may hold the pipe open after the program itself has ended.
                    if let Some(status) = child.try_wait()? {
                        return Ok(Some(status));
                    }
                    silent += 1;
                    if silent >= SILENT_TICKS {
                        child.kill()?;
                        child.wait()?;
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Reads lines on a thread of its own until the pipe closes, or until nobody listens any more.
fn pass_on(pipe: impl Read + Send + 'static, lines: SyncSender<String>) {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if !text.is_empty() && lines.send(text).is_err() {
                return;
            }
        }
    });
}
