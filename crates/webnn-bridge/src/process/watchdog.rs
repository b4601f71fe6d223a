//! The process that outlives us for a moment.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What the watchdog runs. `$1` is the run directory, `$2` the mark as it stands in a process's environment.
///
/// It needs a POSIX shell and a `grep` that knows `-z`. It ignores the signals of a terminal, blocks until its standard
/// input ends, and then ends whatever carries the mark: it asks twice, because a display server that is killed leaves its
/// lock behind, and then kills, until nothing is left. It ends the groups of these processes with them: the processes that
/// Chromium forks write their titles over their environment, and the mark with it.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
while read -r _; do :; done
[ -d "$1" ] || exit 0
run=$1
mark=$2
round=0
signal=TERM
groups=
end_groups() {
  for group in $groups; do
    kill -s "$1" -- "-$group" 2>/dev/null
  done
}
while [ "$round" -lt 100 ]; do
  alive=$(grep -lszx -e "$mark" /proc/[0-9]*/environ 2>/dev/null)
  [ -n "$alive" ] || break
  for file in $alive; do
    id=${file#/proc/}
    id=${id%/environ}
    read -r stat 2>/dev/null <"/proc/$id/stat" || continue
    set -- ${stat##*) }
    case " $groups " in *" $3 "*) ;; *) groups="$groups $3" ;; esac
    kill -s "$signal" "$id" 2>/dev/null
  done
  end_groups "$signal"
  round=$((round + 1))
  [ "$round" -lt 2 ] || signal=KILL
  sleep 0.1
done
end_groups KILL
rm -rf -- "$run"
"#;

/// A running watchdog. Dropping it lets it end, and waits until it has.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts a watchdog for the run whose directory and mark are given.
    pub(super) fn start(run_dir: &Path, mark: &str) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "webnn-pool-watchdog"])
            .arg(run_dir)
            .arg(format!("{}={mark}", super::MARK))
            // Our end of this pipe closes when we end, however we end: that is the signal. Nobody else holds it, since
            // the standard library opens it close-on-exec.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/");
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(Self { child: command.spawn()? })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
