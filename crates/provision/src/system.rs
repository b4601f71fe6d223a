//! Which package manager a machine has, and what each one calls the things that we need.

use vocab::BrowserName;

use crate::host::{Host, Os};

/// A kind of system, by what installs programs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Debian and its descendants, whose browsers are packages.
    Debian,
    /// Ubuntu, whose browsers are snaps.
    Ubuntu,
    /// Fedora, RHEL and their descendants.
    Fedora,
    /// Arch and its descendants.
    Arch,
    /// openSUSE.
    Suse,
    /// A Linux that is none of these.
    OtherLinux,
    MacOs,
    Windows,
    Other,
}

impl System {
    /// Reads the kind of system from `/etc/os-release`, where there is one.
    pub(crate) fn of(host: &Host) -> Self {
        match host.os() {
            Os::Linux => {}
            Os::MacOs => return Self::MacOs,
            Os::Windows => return Self::Windows,
            Os::Other => return Self::Other,
        }
        let text = std::fs::read_to_string(host.place("/etc/os-release")).unwrap_or_default();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches(['"', '\'']).to_ascii_lowercase()).unwrap_or_default()
        };
        let (id, like) = (value("ID"), value("ID_LIKE"));
        std::iter::once(id.as_str())
            .chain(like.split_whitespace())
            .find_map(|id| match id {
                "ubuntu" => Some(Self::Ubuntu),
                // Mint and Pop!_OS are like Ubuntu, but ship the browsers as packages.
                "debian" | "linuxmint" | "pop" | "raspbian" => Some(Self::Debian),
                "fedora" | "rhel" | "centos" => Some(Self::Fedora),
                "arch" => Some(Self::Arch),
                "opensuse" | "suse" | "opensuse-tumbleweed" | "opensuse-leap" => Some(Self::Suse),
                _ => None,
            })
            .unwrap_or(Self::OtherLinux)
    }

    /// Whether its packages come from apt.
    pub(crate) fn has_apt(self) -> bool {
        matches!(self, Self::Debian | Self::Ubuntu)
    }

    /// What a user types, or does, to have this browser and its driver.
    pub(crate) fn advice(self, name: BrowserName) -> &'static str {
        match name {
            BrowserName::Chromium => self.chromium(),
            BrowserName::ChromiumHeadlessShell => self.headless_shell(),
            BrowserName::Chrome => self.chrome(),
            BrowserName::Edge => self.edge(),
            BrowserName::Firefox => self.firefox(),
            BrowserName::Safari => match self {
                Self::MacOs => {
                    "Safari is part of macOS; allow it to be driven once with: safaridriver --enable"
                }
                _ => "Safari runs on macOS only",
            },
            BrowserName::WebKitGtk => self.webkitgtk(),
        }
    }

    fn chromium(self) -> &'static str {
        match self {
            Self::Debian => "sudo apt-get install chromium chromium-driver",
            Self::Ubuntu => {
                "sudo snap install chromium (Ubuntu's packages of it are empty; the snap brings its driver)"
            }
            Self::Fedora => "sudo dnf install chromium chromedriver",
            Self::Arch => "sudo pacman -S chromium",
            Self::Suse => "sudo zypper install chromium chromedriver",
            Self::MacOs => "brew install --cask chromium chromedriver",
            Self::Windows => {
                "winget install Hibbiki.Chromium, and put a chromedriver of the same major version in PATH"
            }
            Self::OtherLinux | Self::Other => "install Chromium and a chromedriver of the same major version",
        }
    }

    fn headless_shell(self) -> &'static str {
        match self {
            Self::Debian => {
                "webnn-pool setup --browsers chromium-headless-shell (with: sudo apt-get install chromium-driver npm)"
            }
            Self::Ubuntu => {
                "webnn-pool setup --browsers chromium-headless-shell (with: sudo snap install chromium; sudo apt-get install npm libnss3)"
            }
            Self::Fedora => {
                "webnn-pool setup --browsers chromium-headless-shell (with: sudo dnf install chromedriver npm nss)"
            }
            Self::Arch => {
                "webnn-pool setup --browsers chromium-headless-shell (with: sudo pacman -S chromium npm nss)"
            }
            Self::Suse => {
                "webnn-pool setup --browsers chromium-headless-shell (with: sudo zypper install chromedriver npm mozilla-nss)"
            }
            Self::OtherLinux => {
                "webnn-pool setup --browsers chromium-headless-shell (it needs npm, chromedriver and the NSS libraries)"
            }
            Self::MacOs | Self::Windows | Self::Other => {
                "this headless shell is built for Linux on x86-64 only"
            }
        }
    }

    fn chrome(self) -> &'static str {
        match self {
            Self::MacOs => "brew install --cask google-chrome chromedriver",
            Self::Windows => {
                "winget install Google.Chrome, and put a chromedriver of the same major version in PATH"
            }
            _ => {
                "install Google's own package from google.com/chrome, and put a chromedriver of the same major version in PATH"
            }
        }
    }

    fn edge(self) -> &'static str {
        match self {
            Self::MacOs => {
                "brew install --cask microsoft-edge, and put a msedgedriver of the same major version in PATH"
            }
            Self::Windows => "winget install Microsoft.Edge Microsoft.EdgeDriver",
            _ => {
                "install Microsoft's own package from microsoft.com/edge, and put a msedgedriver of the same major version in PATH"
            }
        }
    }

    fn firefox(self) -> &'static str {
        match self {
            Self::Debian => {
                "sudo apt-get install firefox-esr mesa-vulkan-drivers, and cargo install geckodriver --locked"
            }
            Self::Ubuntu => {
                "sudo snap install firefox (Ubuntu's package of it is empty), and cargo install geckodriver --locked"
            }
            Self::Fedora => {
                "sudo dnf install firefox mesa-vulkan-drivers, and cargo install geckodriver --locked"
            }
            Self::Arch => "sudo pacman -S firefox geckodriver vulkan-swrast",
            Self::Suse => {
                "sudo zypper install MozillaFirefox libvulkan_lvp, and cargo install geckodriver --locked"
            }
            Self::MacOs => "brew install --cask firefox, and brew install geckodriver",
            Self::Windows => "winget install Mozilla.Firefox Mozilla.GeckoDriver",
            Self::OtherLinux | Self::Other => "install Firefox, and: cargo install geckodriver --locked",
        }
    }

    fn webkitgtk(self) -> &'static str {
        match self {
            Self::Debian | Self::Ubuntu => "sudo apt-get install webkit2gtk-driver xvfb",
            Self::Fedora => "sudo dnf install webkit2gtk4.1 xorg-x11-server-Xvfb",
            Self::Arch => "sudo pacman -S webkit2gtk-4.1 xorg-server-xvfb",
            Self::Suse => "sudo zypper install webkit2gtk3-minibrowser webkitdriver xorg-x11-server-Xvfb",
            Self::OtherLinux => "install WebKitGTK with its MiniBrowser and WebKitWebDriver, and Xvfb",
            Self::MacOs | Self::Windows | Self::Other => "WebKitGTK runs on Linux only",
        }
    }
}
