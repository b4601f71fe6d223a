//! The manual, read by the programs that show it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn write(folder: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_webnn-pool"))
        .arg("man")
        .arg(folder)
        .output()
        .expect("the command starts");
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn each_verb_has_a_page_that_says_how_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("a/man1");
    write(&pages);
    let names: BTreeSet<String> = std::fs::read_dir(&pages)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    for verb in ["", "-setup", "-browsers", "-run", "-shard", "-serve", "-telemetry", "-trends", "-man"] {
        assert!(names.contains(&format!("webnn-pool{verb}.1")), "no page for {verb:?} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
    for name in &names {
        let page = std::fs::read_to_string(pages.join(name)).expect("it reads");
        for section in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH \"EXIT STATUS\""] {
            assert!(page.contains(section), "{name} has no {section}");
        }
    }
}

#[test]
fn the_same_program_always_writes_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    write(&a);
    write(&b);
    let run = "webnn-pool-run.1";
    assert_eq!(std::fs::read(a.join(run)).expect("a page"), std::fs::read(b.join(run)).expect("a page"));
}

/// `groff` is what `man` shows pages with. Where it is not installed, there is no `man` to please.
#[test]
fn groff_has_nothing_to_say_about_the_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let Ok(output) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&path).output()
        else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
    }
}

#[test]
fn without_a_folder_the_page_of_the_command_is_written() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_webnn-pool")).arg("man").output().expect("the command starts");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(page.contains(".SH NAME\nwebnn\\-pool \\- "), "{page}");
    assert!(page.contains("webnn\\-pool\\-run(1)"), "{page}");
}
