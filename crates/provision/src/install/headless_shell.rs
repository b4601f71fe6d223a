//! Chromium's headless shell, which is built with the WebNN runtime that Debian's Chromium lacks.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use brotli::Decompressor;

use super::error::PartError;
use super::npm::Pinned;
use super::publish::at;
use super::report::Item;
use super::{Done, Work};
use crate::host::Os;
use crate::stamp::Stamp;
use crate::{pins, probe, shell_files};

const PINNED: Pinned = Pinned {
    package: "@sparticuz/chromium",
    version: pins::HEADLESS_SHELL,
    manifest: include_str!("../../npm/chromium-headless-shell/package.json"),
    lockfile: include_str!("../../npm/chromium-headless-shell/package-lock.json"),
    size: "68 MB",
};

/// No file of the package unpacks to nearly as much; the browser takes 197 MB.
const UNPACKED_LIMIT: u64 = 1 << 30;

const ADVICE: &str = "it needs the NSS libraries (Debian: libnss3, Fedora: nss)";

impl Work<'_> {
    pub(super) fn headless_shell(&mut self) -> Result<Done, PartError> {
        if self.host.os() != Os::Linux || self.host.arch() != "x86_64" {
            let os = format!("{:?}", self.host.os()).to_lowercase();
            return Err(PartError::UnsupportedOs { os, arch: self.host.arch().to_owned() });
        }
        let place = self.home.headless_shell();
        if Stamp::verify(&place, pins::HEADLESS_SHELL).is_ok() {
            let version = starts(self, &place)?;
            return Ok(Done::AlreadyThere(format!("chromium-headless-shell {version}")));
        }
        let why = "it is the one browser here whose WebNN works without a GPU";
        let package = self.npm_fetch(Item::HeadlessShell, &PINNED, why)?;
        let staging = self.staging("chromium-headless-shell")?;

        let browser = package.join("bin").join("chromium.br");
        self.begin(Item::HeadlessShell, "unpacking it to 197 MB", "the package holds it compressed");
        unpack_file(&browser, &staging.join(shell_files::BINARY))?;
        unpack_graphics(&package.join("bin").join("swiftshader.tar.br"), &staging)?;
        let version = starts(self, &staging)?;
        self.publish(&staging, &place, pins::HEADLESS_SHELL)?;
        Ok(Done::Installed(format!("chromium-headless-shell {version} in {}", place.display())))
    }
}

fn starts(work: &Work<'_>, folder: &Path) -> Result<String, PartError> {
    probe::version(work.host, &folder.join(shell_files::BINARY)).map_err(|cause| PartError::DoesNotStart {
        program: shell_files::BINARY,
        cause,
        advice: ADVICE,
    })
}

fn open(archive: &Path) -> Result<impl Read, PartError> {
    match File::open(archive) {
        Ok(file) => Ok(Decompressor::new(BufReader::new(file), 128 * 1024)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = archive.file_name().unwrap_or_default().to_string_lossy();
            Err(PartError::NotInPackage { package: PINNED.package, file: format!("bin/{file}") })
        }
        Err(error) => Err(at(archive)(error)),
    }
}

fn unpack_file(archive: &Path, target: &Path) -> Result<(), PartError> {
    let mut source = open(archive)?;
    write_program(archive, &mut source, target)
}

/// Takes the known files out of the archive and nothing else, so that no entry can land outside of the folder.
fn unpack_graphics(archive: &Path, folder: &Path) -> Result<(), PartError> {
    let mut tar = tar::Archive::new(open(archive)?);
    for entry in tar.entries().map_err(damaged(archive))? {
        let mut entry = entry.map_err(damaged(archive))?;
        let name =
            entry.path().map_err(damaged(archive))?.to_string_lossy().trim_start_matches("./").to_owned();
        if shell_files::GRAPHICS.contains(&name.as_str()) && entry.header().entry_type().is_file() {
            write_program(archive, &mut entry, &folder.join(name))?;
        }
    }
    match shell_files::GRAPHICS.iter().find(|name| !folder.join(name).is_file()) {
        Some(name) => Err(PartError::NotInPackage { package: PINNED.package, file: (*name).to_owned() }),
        None => Ok(()),
    }
}

/// Unpacks one file; an error on the archive's side is told apart from one on the disk's side.
fn write_program(archive: &Path, source: &mut impl Read, target: &Path) -> Result<(), PartError> {
    let mut file = File::create(target).map_err(at(target))?;
    let mut buffer = vec![0; 128 * 1024];
    let mut written = 0;
    loop {
        let read = source.read(&mut buffer).map_err(damaged(archive))?;
        if read == 0 {
            break;
        }
        written += read as u64;
        if written > UNPACKED_LIMIT {
            return Err(PartError::TooLarge { path: archive.to_owned(), limit: UNPACKED_LIMIT });
        }
        file.write_all(&buffer[..read]).map_err(at(target))?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(PermissionsExt::from_mode(0o755)).map_err(at(target))?;
    }
    Ok(())
}

fn damaged(archive: &Path) -> impl FnOnce(std::io::Error) -> PartError {
    let path = archive.to_owned();
    move |source| PartError::NotUnpacked { path, source }
}
