//! What each browser needs of the system's package manager.

use vocab::BrowserName;

use super::by_hand::describe;
use super::error::PartError;
use super::report::{Item, Part};
use super::{Done, Work};
use crate::detect::{detect_on, find_browser, find_driver_alone};
use crate::detection::{Detection, MissingReason};
use crate::host::Os;
use crate::pins;
use crate::stamp::Stamp;
use crate::system::System;

/// What is missing of a browser's packages: nothing, or the reason.
type Check = Result<String, MissingReason>;

impl Work<'_> {
    pub(super) fn packages(&mut self, name: BrowserName) -> Result<Done, PartError> {
        let (wanted, why): (&[&str], &str) = match name {
            BrowserName::Chrome | BrowserName::Edge | BrowserName::Safari => return self.only_find(name),
            BrowserName::Chromium => (
                &["chromium", "chromium-driver"],
                "the browser runs models on WASM and WebGPU, and is driven through chromedriver",
            ),
            BrowserName::ChromiumHeadlessShell => {
                (&["chromium-driver"], "the headless shell is driven through chromedriver")
            }
            BrowserName::Firefox => (
                &["firefox-esr", "mesa-vulkan-drivers"],
                "the browser runs models on WASM, and on WebGPU where there is a Vulkan driver",
            ),
            BrowserName::WebKitGtk => (
                &["webkit2gtk-driver", "xvfb"],
                "its MiniBrowser runs models on WASM, and needs a display, which Xvfb gives it",
            ),
        };
        let reason = match self.check(name) {
            Ok(detail) => return Ok(Done::AlreadyThere(detail)),
            Err(reason) => reason,
        };
        let by_hand = || PartError::ByHand { advice: self.system.advice(name).to_owned() };
        match self.system {
            System::Debian => {}
            // There the packages of these browsers are empty and only call for a snap, which a server may not want.
            System::Ubuntu if name == BrowserName::WebKitGtk => {}
            _ => return Err(by_hand()),
        }
        if matches!(reason, MissingReason::UnsupportedOs { .. } | MissingReason::OverrideNotFound { .. }) {
            return Err(PartError::StillMissing { reason });
        }
        let installed = self.apt_install(Item::Packages(name), wanted, why)?;
        match self.check(name) {
            Ok(detail) => Ok(Done::Installed(format!("{detail} (packages {})", installed.join(", ")))),
            Err(reason) => Err(PartError::StillMissing { reason }),
        }
    }

    /// Whether what the package manager has to bring is there; what we bring ourselves is not asked for.
    fn check(&self, name: BrowserName) -> Check {
        match name {
            BrowserName::Firefox => {
                let browser = find_browser(self.host, self.home, name)?;
                if self.host.os() == Os::Linux && !self.has_vulkan_driver() {
                    return Err(MissingReason::VulkanNotFound { name });
                }
                Ok(format!("{name} {}", browser.version))
            }
            BrowserName::ChromiumHeadlessShell => match find_driver_alone(self.host, self.home, name)? {
                Some(driver) => Ok(format!("chromedriver {}", driver.version)),
                None => Err(MissingReason::DriverAloneNotFound { driver: "chromedriver" }),
            },
            _ => match detect_on(self.host, self.home, name) {
                Detection::Found(found) => Ok(describe(&found)),
                Detection::Missing { reason, hint: _ } => Err(reason),
            },
        }
    }

    fn has_vulkan_driver(&self) -> bool {
        ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"].iter().any(
            |folder| {
                std::fs::read_dir(self.host.place(folder)).is_ok_and(|mut entries| entries.next().is_some())
            },
        )
    }

    /// Whether one of the things that npm fetches is still to be fetched.
    pub(super) fn needs_npm(&self, parts: &[Part]) -> bool {
        let runtime = parts.contains(&Part::Runtime)
            && Stamp::check(&self.home.onnxruntime_web(), pins::ONNXRUNTIME_WEB).is_err();
        let plots = parts.contains(&Part::Plots) && Stamp::check(&self.home.uplot(), pins::UPLOT).is_err();
        let shell = parts.contains(&Part::HeadlessShell)
            && Stamp::check(&self.home.headless_shell(), pins::HEADLESS_SHELL).is_err();
        (runtime || plots || shell) && self.host.program("npm").is_none()
    }

    pub(super) fn npm_itself(&mut self) -> Result<Done, PartError> {
        if !self.system.has_apt() {
            return Err(PartError::ByHand { advice: super::npm::ADVICE.to_owned() });
        }
        let why =
            "it fetches onnxruntime-web, uPlot and the headless shell, and checks their integrity hashes";
        self.apt_install(Item::Npm, &["npm"], why)?;
        match self.host.program("npm") {
            Some(path) => Ok(Done::Installed(path.display().to_string())),
            None => Err(PartError::ByHand { advice: super::npm::ADVICE.to_owned() }),
        }
    }
}
