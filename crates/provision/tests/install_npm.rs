//! What npm fetches, against a script that stands in for npm and lays out packages of a few bytes.
#![cfg(unix)]

mod support;

use std::io::Write;
use std::path::Path;

use provision::{
    Detection, HEADLESS_SHELL, ONNXRUNTIME_WEB, Part, UPLOT, detect_on, find_plots, find_runtime,
};
use support::Machine;
use vocab::BrowserName::ChromiumHeadlessShell;

const NPM: &str = "/usr/bin/npm";

/// An npm that brings what lies under `/registry`.
const BRINGS: &str = "/bin/mkdir node_modules; /bin/cp -r \"$ROOT\"/registry/. node_modules";

const DIST: &[&str] = &[
    "ort.all.min.mjs",
    "ort.jspi.min.mjs",
    "ort.min.mjs",
    "ort.wasm.min.mjs",
    "ort.webgpu.min.mjs",
    "ort.webgl.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort-wasm-simd-threaded.jsep.mjs",
    "ort-wasm-simd-threaded.jsep.wasm",
    "ort-wasm-simd-threaded.jspi.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
];

const GRAPHICS: &[&str] =
    &["libEGL.so", "libGLESv2.so", "libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];

const BROWSER: &str = "#!/bin/sh\necho Chromium 147.0.7727.0\n";

fn compress(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 20);
    writer.write_all(bytes).expect("memory");
    std::fs::write(path, writer.into_inner()).expect("a file");
}

/// A tar with these names, each holding its own name. The names are written past the library, which refuses bad ones.
fn tar(names: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(name.len() as u64);
        header.set_mode(0o755);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        tar.append(&header, name.as_bytes()).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// A registry with both packages.
fn machine() -> Machine {
    let machine = DIST.iter().fold(Machine::debian(), |machine, name| {
        machine.file(&format!("/registry/onnxruntime-web/dist/{name}"), name)
    });
    compress(&machine.path("/registry/@sparticuz/chromium/bin/chromium.br"), BROWSER.as_bytes());
    compress(&machine.path("/registry/@sparticuz/chromium/bin/swiftshader.tar.br"), &tar(GRAPHICS));
    machine.logging(NPM, BRINGS)
}

fn shell_folder() -> String {
    format!("/home/chromium-headless-shell/{HEADLESS_SHELL}")
}

fn runtime_folder() -> String {
    format!("/home/runtime/onnxruntime-web/{ONNXRUNTIME_WEB}")
}

#[track_caller]
fn check_runtime(machine: &Machine, expected: &str) {
    let told = machine.install(&[], &[Part::Runtime]);
    assert_eq!(told.outcomes, [format!("onnxruntime-web: {expected}")], "{}", told.said);
}

#[track_caller]
fn check_shell(machine: &Machine, expected: &str) {
    let told = machine.install(&[ChromiumHeadlessShell], &[Part::HeadlessShell]);
    assert_eq!(told.outcomes, [format!("chromium-headless-shell: {expected}")], "{}", told.said);
}

fn runtime_installed() -> String {
    format!("installed: onnxruntime-web {ONNXRUNTIME_WEB} in {}", runtime_folder())
}

fn shell_installed() -> String {
    format!("installed: chromium-headless-shell 147.0.7727.0 in {}", shell_folder())
}

#[test]
fn the_runtime_is_fetched_once() {
    let machine = machine();
    assert!(find_runtime(&machine.home()).is_err());
    check_runtime(&machine, &runtime_installed());
    check_runtime(&machine, &format!("already there: onnxruntime-web {ONNXRUNTIME_WEB}"));
    assert_eq!(machine.log().len(), 1);
    let runtime = find_runtime(&machine.home()).expect("the runtime");
    let kept: Vec<&str> = DIST.iter().copied().filter(|name| !name.contains("webgl")).collect();
    assert!(kept.iter().all(|name| runtime.files.iter().any(|file| file == name)));
    assert_eq!(runtime.files.len(), kept.len());
}

#[test]
fn what_the_live_page_draws_with_is_fetched_once_and_keeps_its_licence() {
    let names = ["dist/uPlot.esm.js", "dist/uPlot.min.css", "dist/uPlot.cjs.js", "LICENSE"];
    let machine =
        names.iter().fold(machine(), |machine, name| machine.file(&format!("/registry/uplot/{name}"), name));
    assert_eq!(find_plots(&machine.home()), None);
    let told = machine.install(&[], &[Part::Plots]);
    let place = format!("/home/runtime/uplot/{UPLOT}");
    assert_eq!(told.outcomes, [format!("uplot: installed: uplot {UPLOT} in {place}")], "{}", told.said);
    let told = machine.install(&[], &[Part::Plots]);
    assert_eq!(told.outcomes, [format!("uplot: already there: uplot {UPLOT}")], "{}", told.said);
    let folder = find_plots(&machine.home()).expect("the plots");
    assert!(folder.join("LICENSE").is_file() && folder.join("uPlot.esm.js").is_file());
    std::fs::write(folder.join("uPlot.esm.js"), "half").expect("a file");
    assert_eq!(find_plots(&machine.home()), None);
}

#[test]
fn npm_runs_no_script_of_any_package() {
    let machine = machine();
    check_runtime(&machine, &runtime_installed());
    assert!(machine.log()[0].starts_with("npm ci --ignore-scripts "), "{:?}", machine.log());
}

#[test]
fn nothing_is_left_of_the_work() {
    let machine = machine();
    check_runtime(&machine, &runtime_installed());
    check_shell(&machine, &shell_installed());
    assert!(!machine.path("/home/tmp").exists());
}

#[test]
fn the_shell_is_unpacked_with_its_graphics() {
    let machine = machine();
    check_shell(&machine, &shell_installed());
    check_shell(&machine, "already there: chromium-headless-shell 147.0.7727.0");
    assert_eq!(machine.log().len(), 1);
    for name in GRAPHICS {
        let text =
            std::fs::read_to_string(machine.path(&format!("{}/{name}", shell_folder()))).expect("a file");
        assert_eq!(&text, name);
    }
    let machine = machine.program("/usr/bin/chromedriver", "ChromeDriver 156.0.1.1");
    let detection = detect_on(&machine.host(), &machine.home(), ChromiumHeadlessShell);
    assert!(matches!(detection, Detection::Found(_)), "{detection:?}");
}

#[test]
fn a_changed_byte_is_repaired() {
    let machine = machine();
    check_runtime(&machine, &runtime_installed());
    let file = machine.path(&format!("{}/ort.min.mjs", runtime_folder()));
    std::fs::write(&file, "ORT.min.mjs").expect("a file of the same length");
    check_runtime(&machine, &runtime_installed());
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "ort.min.mjs");
}

#[test]
fn a_file_cut_short_does_not_count() {
    let machine = machine();
    check_runtime(&machine, &runtime_installed());
    std::fs::write(machine.path(&format!("{}/ort.min.mjs", runtime_folder())), "ort").expect("a file");
    let error = find_runtime(&machine.home()).expect_err("a broken copy");
    assert!(error.to_string().ends_with("is not whole; run: webnn-pool setup"), "{error}");
}

#[test]
fn what_a_killed_installation_left_is_replaced() {
    let machine = machine()
        .file(&format!("{}/libEGL.so", shell_folder()), "half")
        .file("/home/tmp/npm-chromium-headless-shell/node_modules/old", "old");
    check_shell(&machine, &shell_installed());
    let left = std::fs::read_to_string(machine.path(&format!("{}/libEGL.so", shell_folder())));
    assert_eq!(left.expect("a file"), "libEGL.so");
}

#[test]
fn what_a_killed_installation_still_writes_does_no_harm() {
    // The npm of a killed installation lives on and puts a file into its folder while this one is at work.
    let late = "/bin/mkdir -p \"$ROOT/home/tmp/1-0\"; echo late > \"$ROOT/home/tmp/1-0/late\"";
    let machine = machine().logging(NPM, &format!("{late}\n{BRINGS}"));
    check_runtime(&machine, &runtime_installed());
    assert!(machine.path("/home/tmp/1-0/late").exists());
    check_runtime(&machine, &format!("already there: onnxruntime-web {ONNXRUNTIME_WEB}"));
    assert!(!machine.path("/home/tmp").exists());
}

#[test]
fn an_integrity_error_is_passed_on() {
    let said =
        "npm error code EINTEGRITY\nnpm error Integrity checksum failed when using sha512: wanted sha512-AAA";
    let machine = machine().logging(NPM, &format!("{BRINGS}; echo '{said}' >&2; exit 1"));
    let told = machine.install(&[], &[Part::Runtime]);
    let expected = format!(
        "onnxruntime-web: failed: a downloaded package is not the one that was expected (its \
                            integrity hash differs), npm said:\n{said}\n"
    );
    assert!(told.said.ends_with(&expected), "{}", told.said);
    assert!(find_runtime(&machine.home()).is_err());
}

#[test]
fn no_network() {
    let machine = machine().logging(NPM, "echo 'npm error code EAI_AGAIN' >&2; exit 1");
    check_runtime(
        &machine,
        "failed: npm ci could not reach the network; connect this machine and try again, it said:",
    );
}

#[test]
fn no_npm() {
    let machine = machine();
    std::fs::remove_file(machine.path(NPM)).expect("npm");
    check_runtime(
        &machine,
        "failed: npm was not found, and it fetches this and checks its integrity hash; install Node.js with npm from \
         your package manager (package npm or nodejs) or from nodejs.org",
    );
}

#[test]
fn a_package_without_a_file_is_not_installed() {
    let machine = machine();
    std::fs::remove_file(machine.path("/registry/onnxruntime-web/dist/ort.wasm.min.mjs")).expect("a file");
    check_runtime(&machine, "failed: the package onnxruntime-web holds no dist/ort.wasm.min.mjs");
    assert!(!machine.path(&runtime_folder()).exists());
}

#[test]
fn a_shell_that_does_not_start_is_not_installed() {
    let machine = machine();
    let browser = "#!/bin/sh\necho 'error while loading shared libraries: libnss3.so' >&2; exit 127\n";
    compress(&machine.path("/registry/@sparticuz/chromium/bin/chromium.br"), browser.as_bytes());
    check_shell(
        &machine,
        "failed: chromium-headless-shell was unpacked, but does not start; it needs the NSS libraries (Debian: libnss3, \
         Fedora: nss): it ended with exit status: 127: error while loading shared libraries: libnss3.so",
    );
    assert!(!machine.path(&shell_folder()).exists());
}

#[test]
fn an_archive_cut_short_is_not_installed() {
    let machine = machine();
    let archive = machine.path("/registry/@sparticuz/chromium/bin/chromium.br");
    let whole = std::fs::read(&archive).expect("an archive");
    std::fs::write(&archive, &whole[..whole.len() / 2]).expect("an archive");
    let told = machine.install(&[ChromiumHeadlessShell], &[Part::HeadlessShell]);
    assert!(told.outcomes[0].contains("chromium.br cannot be unpacked"), "{:?}", told.outcomes);
    assert!(!machine.path(&shell_folder()).exists());
}

#[test]
fn an_archive_cannot_write_elsewhere() {
    let machine = machine();
    let names: Vec<&str> = GRAPHICS.iter().copied().chain(["../../evil", "/tmp/evil", "evil"]).collect();
    compress(&machine.path("/registry/@sparticuz/chromium/bin/swiftshader.tar.br"), &tar(&names));
    check_shell(&machine, &shell_installed());
    let folder = std::fs::read_dir(machine.path(&shell_folder())).expect("a folder");
    // The browser, its graphics, and the stamp.
    assert_eq!(folder.count(), 1 + GRAPHICS.len() + 1);
}

#[test]
fn another_processor_has_no_shell() {
    let mut machine = machine();
    machine.arch = "aarch64";
    check_shell(&machine, "failed: it exists for Linux on x86-64 only, not for linux on aarch64");
}
