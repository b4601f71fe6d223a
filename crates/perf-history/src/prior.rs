//! What is assumed about an arm before anything was observed.

use vocab::{Backend, BrowserName, ModelType};

use crate::Arm;

/// How an arm's latency is expected to compare, before there is evidence: 1 is that of WASM on the processor, less is
/// faster.
///
/// These are hypotheses, labelled as such wherever they are shown, and overridden by observations: audio is expected to
/// do best in Firefox, text and embeddings on WebNN in Edge, images and several kinds of input on WebGPU in Chrome and
/// Chromium. A backend for graphics hardware that runs on the processor is expected to be twenty times slower than WASM
/// there, and was measured to be worse.
#[must_use]
pub fn prior_latency_ratio(model_type: Option<ModelType>, arm: &Arm) -> f64 {
    if arm.is_software_gpu() {
        return 20.0;
    }
    let by_backend = match arm.backend {
        Backend::WebNn => 0.8,
        Backend::WebGpu => 0.6,
        Backend::Wasm => 1.0,
    };
    if model_type.is_some_and(|model_type| favours(model_type, arm)) { by_backend * 0.5 } else { by_backend }
}

/// Whether an arm is what a family is expected to do best on.
fn favours(model_type: ModelType, arm: &Arm) -> bool {
    match model_type {
        ModelType::Audio => arm.browser == BrowserName::Firefox,
        ModelType::Text | ModelType::TextEmbedding | ModelType::TextGeneration => {
            arm.browser == BrowserName::Edge && arm.backend == Backend::WebNn
        }
        ModelType::Vision | ModelType::Multimodal => {
            matches!(arm.browser, BrowserName::Chrome | BrowserName::Chromium)
                && arm.backend == Backend::WebGpu
        }
    }
}

#[cfg(test)]
mod tests {
    use vocab::DeviceKind;

    use super::*;

    fn arm(browser: BrowserName, backend: Backend, device: DeviceKind) -> Arm {
        Arm {
            browser,
            browser_version: "1".into(),
            backend,
            device_requested: None,
            device_effective: device,
            adapter: None,
            threads: 1,
        }
    }

    #[track_caller]
    fn check_first(model_type: ModelType, first: (BrowserName, Backend, DeviceKind)) {
        let ratio =
            |browser, backend, device| prior_latency_ratio(Some(model_type), &arm(browser, backend, device));
        let best = ratio(first.0, first.1, first.2);
        for &browser in BrowserName::ALL {
            for &backend in Backend::ALL {
                let device = if backend == Backend::WebGpu { DeviceKind::Gpu } else { DeviceKind::Cpu };
                assert!(ratio(browser, backend, device) >= best, "{browser} {backend}");
            }
        }
    }

    #[test]
    fn each_family_has_its_favourite() {
        check_first(ModelType::TextEmbedding, (BrowserName::Edge, Backend::WebNn, DeviceKind::Cpu));
        check_first(ModelType::Text, (BrowserName::Edge, Backend::WebNn, DeviceKind::Cpu));
        check_first(ModelType::Audio, (BrowserName::Firefox, Backend::WebGpu, DeviceKind::Gpu));
        check_first(ModelType::Vision, (BrowserName::Chromium, Backend::WebGpu, DeviceKind::Gpu));
    }

    #[test]
    fn software_adapters_come_last() {
        let ratio = |arm: &Arm| prior_latency_ratio(Some(ModelType::Vision), arm);
        let software = ratio(&arm(BrowserName::Chromium, Backend::WebGpu, DeviceKind::Cpu));
        assert!(software > ratio(&arm(BrowserName::WebKitGtk, Backend::Wasm, DeviceKind::Cpu)));
    }
}
