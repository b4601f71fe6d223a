//! Downloading a model whose hash is known.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use url::Url;

use crate::error::ModelError;

/// A protobuf message, and so an ONNX file, ends at 2 GiB.
const LIMIT: u64 = 2 << 30;

/// How long a server may take to answer at all, and then to go on.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a download may take as a whole.
const WHOLE: Duration = Duration::from_secs(3_600);

/// An address as it may stand in a message: credentials and signed queries are left out.
fn public(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for addresses that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Downloads a file into memory.
pub(super) async fn download(url: &Url) -> Result<Bytes, ModelError> {
    webnn_bridge::ensure_tls_provider();
    let failed =
        |source: reqwest::Error| ModelError::Download { url: public(url), source: source.without_url() };
    let too_long = || ModelError::DownloadTooLong { url: public(url), limit: LIMIT };
    let client =
        reqwest::Client::builder().connect_timeout(SILENCE).read_timeout(SILENCE).timeout(WHOLE).build();
    let response = client.map_err(failed)?.get(url.clone()).send().await;
    let response = response.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    if response.content_length().is_some_and(|length| length > LIMIT) {
        return Err(too_long());
    }
    let mut contents = BytesMut::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        contents.extend_from_slice(&piece.map_err(failed)?);
        if contents.len() as u64 > LIMIT {
            return Err(too_long());
        }
    }
    Ok(contents.freeze())
}
