//! Every `cargo xtask` in the documentation is one that the command line takes.

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Violation;
use super::markdown::{code, words};
use super::tree::Tree;
use crate::flags::Flags;

/// How such a command begins.
const START: &str = "cargo xtask ";

/// Every span and every line of a block in every Markdown file. What is run beyond that, the guides' own tests run.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md") {
        for code in code(text) {
            let Some(rest) = code.text.strip_prefix(START) else { continue };
            let Some(wrong) = refused(rest) else { continue };
            found.push(Violation {
                file: path.to_owned(),
                line: code.line,
                rule: "command",
                advice: format!("`{START}{}` is refused: {wrong}", words(rest).join(" ")),
            });
        }
    }
    found
}

/// What the command line says about these words, if it does not take them. Words in capitals stand for values, `…` for
/// more options.
fn refused(rest: &str) -> Option<String> {
    let words: Vec<String> = words(rest).into_iter().filter(|word| word != "…").collect();
    let stands_for_one = words.iter().any(|word| is_placeholder(word));
    let error = Flags::try_parse_from(std::iter::once("xtask".to_owned()).chain(words)).err()?;
    let of_a_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    let help = [ErrorKind::DisplayHelp, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
    if of_a_value && stands_for_one || help.contains(&error.kind()) {
        return None;
    }
    let said = error.to_string();
    Some(said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
}

fn is_placeholder(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;

    #[track_caller]
    fn check_guide(line: &str, fires: bool) {
        let text = format!("# Guide\n{line}\n");
        let expected = [("docs/guide.md", 2, "command")];
        let found = check(&Tree::from([("docs/guide.md", text.as_str())]));
        assert_rules(&found, if fires { &expected } else { &[] });
    }

    #[test]
    fn commands_that_are_taken_pass() {
        check_guide("Run `cargo xtask tidy`, then `cargo xtask e2e --only run --full`.", false);
        check_guide("    cargo xtask e2e --chaos --seed N --minutes M     # long", false);
        check_guide("`cargo xtask …` and `cargo xtask --help`", false);
        check_guide("`cargo build` and cargo xtask fly", false);
    }

    #[test]
    fn commands_that_are_refused_are_named() {
        check_guide("Run `cargo xtask fly`.", true);
        check_guide("    cargo xtask tidy --loudly", true);
        check_guide("`cargo xtask e2e --seed many`", true);
        check_guide("`cargo xtask bench nothing`", true);
    }
}
