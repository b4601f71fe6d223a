//! `webnn-pool completions`

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;
use sharding::Strategy;
use vocab::{Backend, BrowserName};

use super::{Cli, Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell that reads them.
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut command = with_names(Cli::command());
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "webnn-pool", &mut script);
    // For bash, clap_complete 4.6 spells a name with a hyphen in two ways, so that nothing below a verb is completed.
    let script = std::str::from_utf8(&script)?.replace("webnn__subcmd__pool__", "webnn__pool__");
    out::result(script.trim_end())
}

/// The command with the names that its options take. When a command line is read, the names' own parsers say more
/// about a wrong one than a list does; a shell wants the list.
fn with_names(command: Command) -> Command {
    command.mut_args(named).mut_subcommands(with_names)
}

fn named(arg: Arg) -> Arg {
    let names: Vec<&str> = match arg.get_id().as_str() {
        "browser" | "browsers" => BrowserName::ALL.iter().map(|name| name.as_str()).collect(),
        "backend" | "backends" => Backend::ALL.iter().map(|name| name.as_str()).collect(),
        "strategy" => Strategy::ALL.iter().map(|name| name.as_str()).collect(),
        _ => return arg,
    };
    arg.value_parser(PossibleValuesParser::new(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_take_names_list_them() {
        let command = with_names(Cli::command());
        let run = command.find_subcommand("run").expect("a verb");
        let values = |id: &str| {
            let arg = run.get_arguments().find(|arg| arg.get_id() == id).expect("an option");
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect::<Vec<_>>()
        };
        assert!(values("browser").contains(&"chromium-headless-shell".to_owned()));
        assert_eq!(values("backend"), ["webnn", "webgpu", "wasm"]);
        assert!(values("strategy").contains(&"attention-feedforward".to_owned()));
        assert!(values("timeout").is_empty());
    }
}
