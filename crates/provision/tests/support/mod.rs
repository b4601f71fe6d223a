//! A folder that stands for a whole machine, filled with small scripts.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use provision::{Home, Host, Os};

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
