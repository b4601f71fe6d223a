//! Which cryptography TLS uses.

use std::sync::Once;

/// Chooses ring as the process's cryptography for TLS, unless the program has chosen another already; an HTTP client
/// cannot be made without one.
pub(super) fn ensure_provider() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        // Fails only where the program has chosen a provider itself, which then is the one to use.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
