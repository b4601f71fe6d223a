//! What the live page draws with: uPlot.

use super::error::PartError;
use super::npm::Pinned;
use super::publish::at;
use super::report::Item;
use super::{Done, Work};
use crate::pins;
use crate::stamp::Stamp;

const PINNED: Pinned = Pinned {
    package: "uplot",
    version: pins::UPLOT,
    manifest: include_str!("../../npm/uplot/package.json"),
    lockfile: include_str!("../../npm/uplot/package-lock.json"),
    size: "550 kB",
};

/// The module, its styles, and the licence that they come under.
const FILES: &[&str] = &["dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE"];

impl Work<'_> {
    pub(super) fn uplot(&mut self) -> Result<Done, PartError> {
        let place = self.home.uplot();
        if Stamp::verify(&place, pins::UPLOT).is_ok() {
            return Ok(Done::AlreadyThere(format!("uplot {}", pins::UPLOT)));
        }
        let why =
            "the live page of `webnn-pool serve` draws its plots with it, and fetches nothing from elsewhere";
        let package = self.npm_fetch(Item::Uplot, &PINNED, why)?;
        let staging = self.staging("uplot")?;
        for name in FILES {
            let file = package.join(name);
            if !file.is_file() {
                return Err(PartError::NotInPackage { package: PINNED.package, file: (*name).to_owned() });
            }
            let kept = name.rsplit('/').next().unwrap_or(name);
            std::fs::rename(&file, staging.join(kept)).map_err(at(&file))?;
        }
        self.publish(&staging, &place, pins::UPLOT)?;
        Ok(Done::Installed(format!("uplot {} in {}", pins::UPLOT, place.display())))
    }
}
