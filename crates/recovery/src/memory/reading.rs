//! What is known about memory at one moment.

/// How much of something is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "used and limit are all that there is")]
pub struct Use {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that may be in use.
    pub limit: u64,
}

impl Use {
    /// The share that is used: 0 to 1, or more where the limit is exceeded. A limit of 0 is exceeded by any use.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.used == 0 { 0.0 } else { self.used as f64 / self.limit as f64 }
    }

    /// The bytes that are left.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// One reading of memory, from whatever sources there are. What is `None` proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct MemoryReading {
    /// The share of the last ten seconds in which some task waited for memory, in per cent: `some avg10` of the kernel's
    /// pressure stall information.
    pub stall_some: Option<f64>,
    /// The share of the last ten seconds in which all tasks waited for memory at once, in per cent: `full avg10`.
    pub stall_full: Option<f64>,
    /// The control group in which we and the browsers run, without the caches that the kernel can drop.
    pub cgroup: Option<Use>,
    /// The whole machine: what is not available, of all there is.
    pub system: Option<Use>,
    /// The resident memory of the browser's process group, of what it may take.
    pub processes: Option<Use>,
    /// The page's heap, as the page measures it.
    pub page_heap: Option<Use>,
    /// The WebAssembly heap, of its 4 GiB or of what the page allows itself.
    pub wasm_heap: Option<Use>,
}

impl MemoryReading {
    /// The bytes that could be used before one of the known limits is reached; `None` where no limit is known.
    #[must_use]
    pub fn headroom(&self) -> Option<u64> {
        let all = [self.cgroup, self.system, self.processes, self.page_heap, self.wasm_heap];
        all.iter().flatten().map(Use::left).min()
    }
}
