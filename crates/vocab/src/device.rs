//! What a backend computes on.

use crate::names::open_names;

open_names! {
    /// The kind of processor that was requested, or that a computation effectively ran on.
    ///
    /// A software adapter (SwiftShader, Lavapipe) is `Cpu`, whatever API it was reached through.
    DeviceKind {
        /// The processor, also behind a software GPU adapter.
        Cpu = "cpu",
        /// A hardware graphics processor.
        Gpu = "gpu",
        /// A neural processing unit.
        Npu = "npu",
    }
}
