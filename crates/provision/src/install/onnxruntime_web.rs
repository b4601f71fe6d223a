//! The page's runtime: the files of onnxruntime-web that a page loads.

use super::error::PartError;
use super::npm::Pinned;
use super::publish::at;
use super::report::Item;
use super::{Done, Work};
use crate::pins;
use crate::stamp::Stamp;

const PINNED: Pinned = Pinned {
    package: "onnxruntime-web",
    version: pins::ONNXRUNTIME_WEB,
    manifest: include_str!("../../npm/onnxruntime-web/package.json"),
    lockfile: include_str!("../../npm/onnxruntime-web/package-lock.json"),
    size: "33 MB",
};

/// One entry file for each build, and the WebAssembly that the builds load.
const FILES: &[&str] = &[
    "ort.all.min.mjs",
    "ort.jspi.min.mjs",
    "ort.min.mjs",
    "ort.wasm.min.mjs",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort-wasm-simd-threaded.jsep.mjs",
    "ort-wasm-simd-threaded.jsep.wasm",
    "ort-wasm-simd-threaded.jspi.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
];

impl Work<'_> {
    pub(super) fn onnxruntime_web(&mut self) -> Result<Done, PartError> {
        let place = self.home.onnxruntime_web();
        if Stamp::verify(&place, pins::ONNXRUNTIME_WEB).is_ok() {
            return Ok(Done::AlreadyThere(format!("onnxruntime-web {}", pins::ONNXRUNTIME_WEB)));
        }
        let why = "every page runs its models with it, and pages load nothing from elsewhere at run time";
        let package = self.npm_fetch(Item::OnnxRuntimeWeb, &PINNED, why)?;
        let staging = self.staging("onnxruntime-web")?;
        for name in FILES {
            let file = package.join("dist").join(name);
            if !file.is_file() {
                let package = PINNED.package;
                return Err(PartError::NotInPackage { package, file: format!("dist/{name}") });
            }
            std::fs::rename(&file, staging.join(name)).map_err(at(&file))?;
        }
        self.publish(&staging, &place, pins::ONNXRUNTIME_WEB)?;
        Ok(Done::Installed(format!("onnxruntime-web {} in {}", pins::ONNXRUNTIME_WEB, place.display())))
    }
}
