//! The names of the headless shell's files in its folder.

/// The browser itself.
pub(crate) const BINARY: &str = "chromium-headless-shell";

/// The software graphics libraries, which must lie beside the browser: WebGPU needs them.
pub(crate) const GRAPHICS: &[&str] =
    &["libEGL.so", "libGLESv2.so", "libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];
