//! Who may ask, how often, and over which wire.

mod rate;
mod tls;
mod token;

pub use tls::{TlsError, TlsFiles};
pub use token::{TokenError, TokenSpec};

pub(crate) use tls::{Tls, may_listen};
pub(crate) use token::{Admitted, Tokens};

pub use tls::ListenError;
