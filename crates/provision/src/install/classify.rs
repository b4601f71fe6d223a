//! Telling a program's failures apart by what it wrote.

use super::error::PartError;

/// What apt, npm and cargo write when they cannot reach anything.
const NETWORK: &[&str] = &[
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "Temporary failure resolving",
    "Temporary failure in name resolution",
    "Could not resolve",
    "Couldn't resolve host",
    "Could not connect",
    "Couldn't connect to server",
    "Unable to connect",
    "Failed to connect",
    "Network is unreachable",
    "network failure seems to have happened",
    "download of config.json failed",
];

const DISK_FULL: &[&str] = &["ENOSPC", "No space left on device", "enough free space"];

/// The error for a program that ended badly after writing these last lines.
pub(super) fn classify(program: &str, status: &str, said: String) -> PartError {
    let holds = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    let program = program.to_owned();
    if holds(&["EINTEGRITY"]) {
        PartError::Integrity { said }
    } else if holds(DISK_FULL) {
        PartError::DiskFull { program, said }
    } else if holds(NETWORK) {
        PartError::Network { program, said }
    } else {
        PartError::CommandFailed { program, status: status.to_owned(), said }
    }
}
