//! The browsers that the pool knows by name.

use crate::names::closed_names;

closed_names! {
    /// A browser that the pool can launch, or that can join it.
    "browser" BrowserName {
        /// The Chromium of the system's package manager.
        Chromium = "chromium",
        /// Chromium's headless shell, built with the WebNN runtime that Debian's Chromium lacks.
        ChromiumHeadlessShell = "chromium-headless-shell",
        /// Google Chrome.
        Chrome = "chrome",
        /// Microsoft Edge.
        Edge = "edge",
        /// Mozilla Firefox.
        Firefox = "firefox",
        /// Apple Safari.
        Safari = "safari",
        /// WebKitGTK's MiniBrowser.
        WebKitGtk = "webkitgtk",
    }
}
