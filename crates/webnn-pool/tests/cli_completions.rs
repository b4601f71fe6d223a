//! What shells are told, in a real one.

use std::process::Command;

fn script(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_webnn-pool"))
        .args(["completions", shell])
        .output()
        .expect("the command starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What bash offers for the last of these words, when the script is sourced as a user does it.
#[track_caller]
fn check_bash(words: &[&str], offers: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("webnn-pool.bash");
    std::fs::write(&path, script("bash")).expect("it is written");
    // As bash does it: the function that the script registered gets the command, the word and the one before.
    let ask = concat!(
        "set -e; source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); ",
        "function=$(complete -p webnn-pool | sed 's/.*-F \\([^ ]*\\).*/\\1/'); ",
        "\"$function\" webnn-pool \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; ",
        "printf '%s\\n' \"${COMPREPLY[@]}\"",
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", ask, "bash"])
        .arg(&path)
        .arg("webnn-pool")
        .args(words)
        .output()
        .expect("bash is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    for offer in offers {
        assert!(said.lines().any(|line| line == *offer), "no {offer} for {words:?} in {said:?} ({told})");
    }
}

#[test]
fn bash_completes_verbs_options_and_names() {
    check_bash(&["ser"], &["serve"]);
    check_bash(&["com"], &["completions"]);
    check_bash(&["run", "--bro"], &["--browser"]);
    check_bash(&["run", "m.onnx", "--browser", "chromium-h"], &["chromium-headless-shell"]);
    check_bash(&["run", "m.onnx", "--backend", "web"], &["webnn", "webgpu"]);
    check_bash(&["setup", "--browsers", "fire"], &["firefox"]);
}

#[test]
fn every_shell_gets_a_script_with_every_verb() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = script(shell);
        for word in ["serve", "trends", "telemetry", "backend"] {
            assert!(script.contains(word), "no {word} for {shell}");
        }
        // PowerShell and Elvish are offered options, not what they take.
        let names = script.contains("webkitgtk");
        assert_eq!(names, ["bash", "zsh", "fish"].contains(&shell), "{shell}");
    }
}

#[test]
fn a_shell_that_there_is_not_is_a_wrong_command_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_webnn-pool"))
        .args(["completions", "cmd"])
        .output()
        .expect("the command starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bash"), "{output:?}");
}
