//! What the machine says about itself.

use super::report::Environment;

/// Reads the kernel's files; what they do not tell stays empty.
pub(super) fn read(onnxruntime_web: &str) -> Environment {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Environment {
        os: os(&text("/etc/os-release"), &text("/proc/sys/kernel/osrelease")),
        cpu: cpu(&text("/proc/cpuinfo")),
        cores: std::thread::available_parallelism()
            .map_or(0, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory(&text("/proc/meminfo")),
        load_before: load(),
        load_after: None,
        onnxruntime_web: onnxruntime_web.to_owned(),
    }
}

/// The load of the last 1, 5 and 15 minutes, where the system tells.
pub(super) fn load() -> Option<[f64; 3]> {
    parse_load(&std::fs::read_to_string("/proc/loadavg").ok()?)
}

fn parse_load(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

fn os(release: &str, kernel: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    match kernel.trim() {
        "" => format!("{name}, {}", std::env::consts::ARCH),
        kernel => format!("{name}, {} {kernel}, {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn cpu(info: &str) -> String {
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn memory(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(parse_load("0.52 1.50 2.00 1/234 5678\n"), Some([0.52, 1.5, 2.0]));
        assert_eq!(parse_load("0.52\n"), None);
        assert_eq!(cpu("processor\t: 0\nmodel name\t: Fast One @ 2 GHz\n"), "Fast One @ 2 GHz");
        assert_eq!(memory("MemTotal:       8 kB\n"), Some(8_192));
        let os = os("NAME=x\nPRETTY_NAME=\"Debian 12\"\n", "6.1\n");
        assert!(os.starts_with("Debian 12, ") && os.contains("6.1"), "{os}");
    }
}
