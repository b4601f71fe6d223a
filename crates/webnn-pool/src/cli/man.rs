//! `webnn-pool man`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, Failure, out};

/// What every page says below the options, in the language of manual pages.
const CLOSING: &str = r#".SH "EXIT STATUS"
.TP
0
It worked.
.TP
1
It failed, with one message on standard error.
.TP
2
The command line was wrong.
.SH ENVIRONMENT
.TP
WEBNN_POOL_HOME
The folder of installed browsers and of the page's runtime. Default: webnn\-pool in the user's folder of data.
.TP
WEBNN_POOL_<NAME>_BINARY, WEBNN_POOL_<NAME>_DRIVER
The program of a browser and of its driver, where it is not the one that is found; the name in capitals with _ for \-.
.TP
WEBNN_POOL_LOG
What is written to standard error, for example warn,webnn_pool::service=info.
.TP
WEBNN_POOL_TOKEN
The token that a server lets in where its settings name no file of tokens, and that webnn\-pool telemetry sends.
.SH FILES
.TP
pool.toml
The settings of webnn\-pool serve, named by \-\-config.
"#;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder for all pages, one a verb; it is made where it is missing. Without it, the page of the command itself is
    /// written to standard output.
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // The verb `help` is for the terminal; it has no page.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        return out::result(std::str::from_utf8(&page(command)?)?.trim_end());
    };
    let unwritable = |path: &Path, error| format!("could not write {}: {error}", path.display());
    std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, error))?;
    let verbs: Vec<Command> = command.get_subcommands().cloned().collect();
    let pages = verbs.len() + 1;
    for command in std::iter::once(command).chain(verbs) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, page(command)?).map_err(|error| unwritable(&path, error))?;
    }
    out::note(&format!("wrote {pages} pages to {}", dir.display()));
    Ok(())
}

/// One page. It holds no date, so that the same program always writes the same.
fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    // What the long version adds is about one build; a page is about the program.
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.version(version).long_version(version))
        .title(name)
        .section("1")
        .date("")
        .source(format!("webnn-pool {version}"))
        .manual("webnn-pool");
    let mut page = Vec::new();
    man.render(&mut page)?;
    page.write_all(CLOSING.as_bytes())?;
    Ok(page)
}
