//! Every `webnn-pool …` in the README and the guides is one that the command line takes. What stands in blocks of shell is
//! run as well, by `cargo xtask clients`.

use std::path::Path;

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Cli;

/// What the command line says about these words, if it does not take them. Words in capitals stand for values, and a
/// text may leave out what the verb cannot do without.
fn refused(words: &str) -> Option<String> {
    let words: Vec<&str> = words.split_whitespace().filter(|word| !["…", "..."].contains(word)).collect();
    let is_placeholder = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase());
    let stands_for_one = words.iter().any(is_placeholder);
    let error = Cli::try_parse_from(&words).err()?;
    let fine = match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => true,
        // A list or a number that is named by a word in capitals, or an option without its value.
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            stands_for_one || words.last().is_some_and(|word| word.starts_with("--"))
        }
        _ => false,
    };
    (!fine).then(|| error.to_string())
}

/// The spans of code in a text that begin with the command's name, with their lines.
fn spans(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(at, line)| {
        let spans = line.split('`').skip(1).step_by(2);
        spans.filter(|span| span.starts_with("webnn-pool ")).map(move |span| (at + 1, span))
    })
}

#[test]
fn commands_in_the_texts_are_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides =
        std::fs::read_dir(root.join("docs")).expect("the guides").map(|entry| entry.expect("one").path());
    let texts = guides.chain([root.join("README.md"), root.join("SECURITY.md")]);
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in texts.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(&path).expect("it reads");
        for (line, span) in spans(&text) {
            seen += 1;
            wrong.extend(refused(span).map(|said| format!("{}:{line}: `{span}`: {said}", path.display())));
        }
    }
    assert!(seen > 20, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_command_line_does_not_know_is_refused() {
    for right in [
        "webnn-pool run",
        "webnn-pool run MODEL --repeat N",
        "webnn-pool setup --browsers LIST",
        "webnn-pool --version",
    ] {
        assert_eq!(refused(right), None);
    }
    for wrong in ["webnn-pool fly", "webnn-pool run --fast", "webnn-pool run m --input i --repeat many"] {
        assert!(refused(wrong).is_some(), "{wrong}");
    }
}
