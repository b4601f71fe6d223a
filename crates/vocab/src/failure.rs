//! How a failure that a page reports is classified.

use crate::names::open_names;

open_names! {
    /// Why a page could not load a model or run it. The page classifies; the host decides what to do about it.
    FailureKind {
        /// The file is not a readable ONNX model, or the runtime rejected its contents.
        InvalidModel = "invalid_model",
        /// The model has an operator that the runtime does not implement.
        UnsupportedOperator = "unsupported_operator",
        /// The model or the input has an element type that the runtime does not accept.
        UnsupportedDtype = "unsupported_dtype",
        /// The backend took no part of the model, so its numbers would be another backend's.
        UnsupportedByBackend = "unsupported_by_backend",
        /// The page does not offer the backend.
        BackendUnavailable = "backend_unavailable",
        /// The runtime refused the inputs: the caller's error, never counted against the worker.
        InvalidInput = "invalid_input",
        /// An allocation failed.
        OutOfMemory = "out_of_memory",
        /// The GPU device or the WebNN context was lost.
        DeviceLost = "device_lost",
        /// The model's bytes could not be fetched, or did not have the hash that was asked for.
        ModelFetch = "model_fetch",
        /// The page no longer has the session that the call names.
        NoSuchSession = "no_such_session",
        /// The page's caches are not those that the step of a sequence expects; nothing was computed.
        CachesLost = "caches_lost",
        /// The host gave the call up, and the page confirms that it did too.
        Cancelled = "cancelled",
        /// A run whose answer is known gave another one.
        WrongNumbers = "wrong_numbers",
        /// The message was not understood.
        Protocol = "protocol",
        /// The page's own code failed.
        Internal = "internal",
    }
}

impl FailureKind {
    /// Whether the caller or the model is to blame: such a failure says nothing about the worker's health, and another
    /// worker with the same backend would fail in the same way.
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        matches!(
            self,
            Self::InvalidModel | Self::UnsupportedOperator | Self::UnsupportedDtype | Self::InvalidInput
        )
    }
}
