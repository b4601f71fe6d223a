//! The committed lockfiles: every package pinned by hash, and no registry named.

use serde_json::Value;

const RUNTIME: [&str; 2] = [
    include_str!("../npm/onnxruntime-web/package.json"),
    include_str!("../npm/onnxruntime-web/package-lock.json"),
];
const PLOTS: [&str; 2] =
    [include_str!("../npm/uplot/package.json"), include_str!("../npm/uplot/package-lock.json")];
const SHELL: [&str; 2] = [
    include_str!("../npm/chromium-headless-shell/package.json"),
    include_str!("../npm/chromium-headless-shell/package-lock.json"),
];

#[track_caller]
fn check([manifest, lockfile]: [&str; 2], package: &str, version: &str) {
    let manifest: Value = serde_json::from_str(manifest).expect("a manifest");
    assert_eq!(manifest["dependencies"][package], version, "the manifest pins another version");

    for mark in ["://", "resolved", "www.", ".org", ".com", ".io"] {
        assert!(!lockfile.contains(mark), "the lockfile of {package} names a host: {mark}");
    }
    let lock: Value = serde_json::from_str(lockfile).expect("a lockfile");
    let packages = lock["packages"].as_object().expect("packages");
    assert_eq!(packages[&format!("node_modules/{package}")]["version"], version);
    for (name, entry) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        // SHA-512 is 64 bytes, which are 88 characters of base64.
        let hash = entry["integrity"].as_str().and_then(|integrity| integrity.strip_prefix("sha512-"));
        assert_eq!(hash.map(str::len), Some(88), "{name} is not pinned by a hash");
    }
}

#[test]
fn onnxruntime_web_is_pinned() {
    check(RUNTIME, "onnxruntime-web", provision::ONNXRUNTIME_WEB);
}

#[test]
fn uplot_is_pinned() {
    check(PLOTS, "uplot", provision::UPLOT);
}

#[test]
fn the_headless_shell_is_pinned() {
    check(SHELL, "@sparticuz/chromium", provision::HEADLESS_SHELL);
}
