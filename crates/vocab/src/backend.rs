//! The execution providers that a page can offer.

use crate::names::closed_names;

closed_names! {
    /// How a page computes: the execution provider that a session is created on.
    "backend" Backend {
        /// The Web Neural Network API (`navigator.ml`).
        WebNn = "webnn",
        /// WebGPU compute shaders (`navigator.gpu`).
        WebGpu = "webgpu",
        /// WebAssembly on the CPU, with SIMD, and with threads where the page is cross-origin isolated.
        Wasm = "wasm",
    }
}
