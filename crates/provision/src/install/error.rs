//! Why something could not be installed.

use std::path::PathBuf;

use thiserror::Error;

use crate::detection::MissingReason;
use crate::probe::ProbeError;

/// Why nothing at all could be installed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The home folder cannot be made or written.
    #[error("the folder {} cannot be used; set WEBNN_POOL_HOME to one that can", path.display())]
    HomeUnusable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The lock that keeps two installations apart cannot be had.
    #[error("the lock {} cannot be taken", path.display())]
    LockFailed {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Why one part could not be installed; each says what to do by hand where anything can be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// Packages are missing, and this process may not install any.
    #[error(
        "installing packages needs root, which neither this user nor sudo without a password has; run: {command}"
    )]
    NotRoot {
        /// What a user types instead.
        command: String,
    },
    /// This system's package manager is not one that is driven from here, or has no such package.
    #[error("this must be installed by hand: {advice}")]
    ByHand {
        /// The command or the sentence that helps.
        advice: String,
    },
    /// A program that does the work is missing.
    #[error("{program} was not found, and {why}; {advice}")]
    ProgramMissing {
        /// The program.
        program: &'static str,
        /// What it is needed for.
        why: &'static str,
        /// What helps.
        advice: &'static str,
    },
    /// There is no such thing for this operating system or processor.
    #[error("it exists for Linux on x86-64 only, not for {os} on {arch}")]
    UnsupportedOs {
        /// The operating system here.
        os: String,
        /// The processor architecture here.
        arch: String,
    },
    /// A program could not reach the network.
    #[error("{program} could not reach the network; connect this machine and try again, it said:\n{said}")]
    Network {
        /// The program.
        program: String,
        /// The end of what it wrote.
        said: String,
    },
    /// What was downloaded is not what the lockfile promises.
    #[error(
        "a downloaded package is not the one that was expected (its integrity hash differs), npm said:\n{said}"
    )]
    Integrity {
        /// The end of what npm wrote.
        said: String,
    },
    /// The disk is full.
    #[error("the disk is full; {program} said:\n{said}")]
    DiskFull {
        /// The program.
        program: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A program could not be started.
    #[error("{program} could not be started")]
    NotStarted {
        /// The program.
        program: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A program failed for a reason of its own.
    #[error("{program} ended with {status}, it said:\n{said}")]
    CommandFailed {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A program wrote nothing for so long that it was killed.
    #[error("{program} wrote nothing for {limit_s} s and was killed; before that it said:\n{said}")]
    CommandSilent {
        /// The program.
        program: String,
        /// How long it may be silent, in seconds.
        limit_s: u64,
        /// The end of what it wrote.
        said: String,
    },
    /// A file of ours cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The disk that holds the home folder is full, or the user's quota is used up.
    #[error("there is no space for {}; make some, or set WEBNN_POOL_HOME to a folder on another disk", path.display())]
    NoSpaceFor {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A package does not hold a file that it should.
    #[error("the package {package} holds no {file}")]
    NotInPackage {
        /// The package.
        package: &'static str,
        /// The file.
        file: String,
    },
    /// An archive in a package is damaged.
    #[error("{} cannot be unpacked", path.display())]
    NotUnpacked {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// An archive in a package unpacks to more than it ever should.
    #[error("{} unpacks to more than {limit} bytes", path.display())]
    TooLarge {
        /// The archive.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// What was unpacked does not start here.
    #[error("{program} was unpacked, but does not start; {advice}")]
    DoesNotStart {
        /// The program.
        program: &'static str,
        /// What it did instead.
        #[source]
        cause: ProbeError,
        /// What usually helps.
        advice: &'static str,
    },
    /// Everything that is known to be needed is installed, and still it cannot be used.
    #[error("everything it needs is installed, yet it cannot be used")]
    StillMissing {
        /// What detection says.
        #[source]
        reason: MissingReason,
    },
}
