//! A folder that stands for a whole machine, filled with small scripts.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use provision::{Entry, Event, Home, Host, Os, Part};
use vocab::BrowserName;

/// A machine made of scripts; gone when dropped.
pub struct Machine {
    folder: tempfile::TempDir,
    pub os: Os,
    pub arch: &'static str,
    vars: Vec<(String, String)>,
}

impl Machine {
    pub fn new(os: Os) -> Self {
        Self { folder: tempfile::tempdir().expect("a temp folder"), os, arch: "x86_64", vars: Vec::new() }
    }

    /// A Debian without any browser.
    pub fn debian() -> Self {
        Self::new(Os::Linux).file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
    }

    pub fn path(&self, absolute: &str) -> PathBuf {
        self.folder.path().join(absolute.trim_start_matches('/'))
    }

    pub fn file(self, absolute: &str, text: &str) -> Self {
        let path = self.path(absolute);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        // Another process writes the file. If this one did, a test that starts a program at the same moment would hand
        // the open file to its child, and starting the script would fail as "text file busy".
        let mut write = Command::new("/bin/sh");
        write.args(["-c", "printf %s \"$1\" > \"$0\""]).arg(path).arg(text);
        assert!(write.status().expect("a shell").success());
        self
    }

    /// A shell script that can be started.
    pub fn script(self, absolute: &str, body: &str) -> Self {
        let machine = self.file(absolute, &format!("#!/bin/sh\n{body}\n"));
        let path = machine.path(absolute);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("permissions");
        machine
    }

    /// A program that answers `--version` with this line.
    pub fn program(self, absolute: &str, version_line: &str) -> Self {
        self.script(absolute, &format!("[ \"$1\" = --version ] && echo '{version_line}'"))
    }

    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable that names a place on this machine.
    pub fn var_path(self, name: &str, absolute: &str) -> Self {
        let value = self.path(absolute).display().to_string();
        self.var(name, &value)
    }

    pub fn home(&self) -> Home {
        Home::at(self.path("/home"))
    }

    pub fn host(&self) -> Host {
        let bin = self.path("/usr/bin");
        let host = Host::rooted(self.os, self.arch, self.folder.path()).with_var("PATH", bin);
        self.vars.iter().fold(host, |host, (name, value)| host.with_var(name, value))
    }
}

/// What an installation did: one line for each item, and everything that it told.
pub struct Told {
    pub outcomes: Vec<String>,
    pub said: String,
}

impl Machine {
    /// Installs on this machine; the outcome's first line stands for the whole.
    pub fn install(&self, wanted: &[BrowserName], parts: &[Part]) -> Told {
        let mut said = String::new();
        let mut tell = |event: &Event<'_>| said += &format!("{event}\n");
        let report = provision::install_on(&self.host(), &self.home(), wanted, parts, &mut tell)
            .expect("a usable home");
        let outcome = |entry: &Entry| {
            let text = Event::End { item: entry.item, outcome: &entry.outcome }.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.replace(&self.folder.path().display().to_string(), "")
        };
        Told { outcomes: report.entries.iter().map(outcome).collect(), said }
    }

    /// A program of this machine that writes its arguments to a log before it does its work.
    ///
    /// `$ROOT` is the machine's root folder. No other program is in `PATH`, so helpers need whole paths.
    pub fn logging(self, absolute: &str, body: &str) -> Self {
        let root = self.path("");
        let name = absolute.rsplit('/').next().expect("a name").to_owned();
        let body = format!("ROOT='{}'\necho \"{name} $*\" >> \"$ROOT/log\"\n{body}", root.display());
        self.script(absolute, &body)
    }

    /// The lines of the log.
    pub fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("/log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
