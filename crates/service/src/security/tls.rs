//! TLS, and where it is allowed to go without.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// The files that TLS needs, each PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The server's certificate, then those that it was issued by.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of clients' certificates. Where it is set, a client without a valid certificate is refused.
    pub client_authorities: Option<PathBuf>,
}

impl TlsFiles {
    /// Certificate and key; clients need none.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), client_authorities: None }
    }
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("{}: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server's certificate is not valid now.
    #[error("{}: the certificate {when}: renew it", path.display())]
    NotValidNow {
        /// The certificate.
        path: PathBuf,
        /// Since or until when.
        when: String,
    },
    /// Certificate and key do not make a server.
    #[error("the certificate and the key cannot be used")]
    Rustls(#[from] rustls::Error),
}

/// An address that is not listened on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines, and no token is set: set one, listen on 127.0.0.1, or say allow_anyone = true"
)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
}

/// Whether an address may be listened on: beyond this machine only with a token, or where that was said in as many words.
pub(crate) fn may_listen(address: SocketAddr, token: bool, anyone: bool) -> Result<(), ListenError> {
    let loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    };
    if loopback || token || anyone { Ok(()) } else { Err(ListenError { address }) }
}

/// Accepts TLS connections.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files and checks that they can be used at `now`.
    pub(crate) fn read(files: &TlsFiles, now: SystemTime) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        valid(&files.certificate, &chain, now)?;
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| file(&files.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &files.client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    roots.add(authority)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| file(path, error.to_string()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands.
    pub(crate) async fn accept<S>(&self, stream: S) -> std::io::Result<tokio_rustls::server::TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        self.0.accept(stream).await
    }
}

fn file(path: &Path, why: String) -> TlsError {
    TlsError::File { path: path.to_owned(), why }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| file(path, error.to_string()))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|error| file(path, error.to_string()))?;
    if all.is_empty() { Err(file(path, "there is no certificate in it".to_owned())) } else { Ok(all) }
}

/// A server whose certificate every client will refuse had better not start.
fn valid(path: &Path, chain: &[CertificateDer<'static>], now: SystemTime) -> Result<(), TlsError> {
    let Some(first) = chain.first() else { return Ok(()) };
    let parsed = x509_parser::parse_x509_certificate(first);
    let (_, certificate) = parsed.map_err(|error| file(path, error.to_string()))?;
    let seconds =
        now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let validity = certificate.validity();
    if validity.not_after.timestamp() < seconds {
        let when = format!("expired on {}", validity.not_after);
        return Err(TlsError::NotValidNow { path: path.to_owned(), when });
    }
    if validity.not_before.timestamp() > seconds {
        let when = format!("is not valid before {}", validity.not_before);
        return Err(TlsError::NotValidNow { path: path.to_owned(), when });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_beyond_this_machine_without_a_token() {
        let may = |address: &str, token, anyone| {
            may_listen(address.parse().expect("an address"), token, anyone).is_ok()
        };
        assert!(
            may("127.0.0.1:1", false, false)
                && may("[::1]:1", false, false)
                && may("127.8.8.8:1", false, false)
        );
        assert!(
            !may("0.0.0.0:1", false, false)
                && !may("[::]:1", false, false)
                && !may("10.0.0.1:1", false, false)
        );
        assert!(may("0.0.0.0:1", true, false) && may("0.0.0.0:1", false, true));
        assert!(may("[::ffff:127.0.0.1]:1", false, false));
    }
}
