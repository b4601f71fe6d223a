//! Which cryptography TLS uses.

use std::sync::Once;

/// Chooses ring as the process's cryptography for TLS, unless the program has chosen another already. Must have been
/// called before an HTTP client is made; calling it again does nothing.
pub fn ensure_tls_provider() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        // Fails only where the embedding program has chosen a provider itself, which then is the one to use.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
