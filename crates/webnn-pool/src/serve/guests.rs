//! An accelerator as what lets guests in.

use std::sync::{Arc, Weak};

use service::{Guests, Invited};
use webnn_bridge::Invitation;

use crate::Accelerator;

/// Gives out codes, as long as the accelerator is there.
pub(super) struct Doorman(Weak<Accelerator>);

impl Doorman {
    pub(super) fn new(accelerator: &Arc<Accelerator>) -> Self {
        Self(Arc::downgrade(accelerator))
    }
}

impl Guests for Doorman {
    fn invite(&self) -> Result<Invited, String> {
        let accelerator = self.0.upgrade().ok_or("the pool is shutting down")?;
        let Invitation { code, url, expires_in, .. } =
            accelerator.invite().map_err(|error| error.to_string())?;
        Ok(Invited { code: code.to_string(), url, expires_in })
    }

    fn join_url(&self) -> Option<String> {
        self.0.upgrade()?.join_url()
    }
}
