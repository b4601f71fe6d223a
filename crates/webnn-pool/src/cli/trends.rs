//! `webnn-pool trends`

use std::path::{Path, PathBuf};

use perf_history::report::{ReportSettings, page};
use perf_history::{HistoryStore, store};
use webnn_pool::{AnalysisSettings, Location, analyze_location};

use super::{Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The database, an SQLite file or a postgres:// address. Default: history.db in webnn-pool's own directory.
    #[arg(long, value_name = "DB")]
    history: Option<Location>,
    /// How many days to look back at; 0 for all.
    #[arg(long, value_name = "N", default_value_t = AnalysisSettings::default().history_days)]
    days: u32,
    /// Print everything as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Write a report with plots, as one page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write every single observation: as a table, FILE.csv or FILE.parquet, or as JSON, FILE.jsonl, one a line.
    #[arg(long, value_name = "FILE", value_parser = parse_export)]
    export: Option<Export>,
}

/// Where observations are written to, and as what.
#[derive(Debug, Clone)]
struct Export {
    path: PathBuf,
    format: Format,
}

fn parse_export(text: &str) -> Result<Export, String> {
    let path = PathBuf::from(text);
    let format = Format::of(&path).ok_or("the file must end in .csv, .jsonl or .parquet")?;
    Ok(Export { path, format })
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let location = match args.history {
        Some(location) => location,
        None => Location::Sqlite(provision::Home::locate()?.root().join("history.db")),
    };
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        let path = path.display();
        return Err(format!(
            "there is no history at {path} yet: run a model with --history {path}, then look again"
        )
        .into());
    }
    let mut settings = AnalysisSettings::default();
    settings.history_days = args.days;
    let analysis = analyze_location(location.clone(), settings).await?;
    if let Some(path) = args.html {
        write(&path, page(&analysis, &ReportSettings::default()).as_bytes())?;
        out::note(&format!("wrote {}", path.display()));
    }
    if let Some(Export { path, format }) = args.export {
        let target = path.clone();
        let rows = tokio::task::spawn_blocking(move || export(&location, &target, format)).await??;
        out::note(&format!("wrote {rows} observations to {}", path.display()));
    }
    if args.json {
        return out::result(&serde_json::to_string(&analysis)?);
    }
    out::result(analysis.to_string().trim_end())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| format!("could not write {}: {error}", path.display()).into())
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
    Parquet,
}

impl Format {
    /// As the file's name ends.
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Writes beside the target first, so that no half a table ever has its name.
fn export(location: &Location, path: &Path, format: Format) -> Result<u64, Failure> {
    let mut store = store::open_read_only(location)?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let unwritable = |error: std::io::Error| format!("could not write {}: {error}", path.display());
    let file = std::fs::File::create(&part).map_err(unwritable)?;
    match table(store.as_mut(), file, format) {
        Ok(rows) => {
            std::fs::rename(&part, path).map_err(unwritable)?;
            Ok(rows)
        }
        Err(error) => {
            // Whatever is left of it is of no use, and the first error is the one to tell.
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

fn table(store: &mut dyn HistoryStore, file: std::fs::File, format: Format) -> Result<u64, Failure> {
    match format {
        Format::JsonLines => {
            Ok(perf_history::export::export_json_lines(store, std::io::BufWriter::new(file))?)
        }
        #[cfg(feature = "csv")]
        Format::Csv => Ok(perf_history::export::export_csv(store, std::io::BufWriter::new(file))?),
        #[cfg(feature = "parquet")]
        Format::Parquet => Ok(perf_history::export::export_parquet(store, file)?),
        #[allow(unreachable_patterns, reason = "with both features there is nothing else")]
        _ => {
            let _ = (store, file);
            Err("this build cannot write such tables: build it with the features csv and parquet".into())
        }
    }
}
