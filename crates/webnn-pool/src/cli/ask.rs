//! A question to a server that runs.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::Failure;
use super::serve::TOKEN_VARIABLE;

/// How long a server may take for its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gets an answer, or posts `body` for it. The token, where the server needs one, is that of `WEBNN_POOL_TOKEN`.
///
/// # Errors
/// The server could not be reached, refused, or answered with something else than JSON.
pub(super) async fn ask(url: &Url, body: Option<Value>) -> Result<Value, Failure> {
    webnn_bridge::ensure_tls_provider();
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut request = match body {
        None => client.get(url.clone()),
        Some(body) => {
            client.post(url.clone()).header("content-type", "application/json").body(body.to_string())
        }
    };
    if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        request = request.bearer_auth(token);
    }
    let response = request.send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    let told: Value =
        serde_json::from_slice(&bytes).map_err(|_| format!("{url} did not answer with JSON ({status})"))?;
    if !status.is_success() {
        let why = told["error"].as_str().unwrap_or("no reason given").to_owned();
        return Err(format!("{url} answered {status}: {why}").into());
    }
    Ok(told)
}
