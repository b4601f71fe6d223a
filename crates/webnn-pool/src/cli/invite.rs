//! `webnn-pool invite`

use serde_json::json;
use url::Url;

use super::ask::ask;
use super::{Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server to ask.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: Url,
    /// Print the code, its address and how long it is good as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Asks a server for a code. The token, where it needs one, is that of `WEBNN_POOL_TOKEN`, and must be one of an
/// administrator.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { mut url, json: as_json } = args;
    url.set_path("/v2/invitations");
    let told = ask(&url, Some(json!({}))).await?;
    if as_json {
        return out::result(&told.to_string());
    }
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let minutes = told["expires_in_s"].as_f64().unwrap_or(0.0) / 60.0;
    out::result(&format!(
        "{}\nThe code {} lets one browser in, once, within {minutes:.0} min.",
        text("url"),
        text("code"),
    ))
}
