//! What the kernel writes is understood, what it does not write is absent, and what it would never write is an error.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use recovery::{
    LinuxMemory, MemoryReading, ParseError, ReadError, Stall, Use, parse_bytes, parse_cgroup_path,
    parse_kilobytes, parse_stall,
};

#[test]
fn stalls() {
    let text = "some avg10=1.25 avg60=0.02 avg300=0.00 total=4711\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=12\n";
    assert_eq!(parse_stall(text), Ok(Stall { some: 1.25, full: Some(0.5) }));
    assert_eq!(parse_stall("some avg10=100.00 total=1\n"), Ok(Stall { some: 100.0, full: None }));
    for bad in [
        "",
        "full avg10=1.0",
        "some avg60=1.0",
        "some avg10=",
        "some avg10=x",
        "some avg10=NaN",
        "some avg10=-1",
        "some avg10=101",
    ] {
        assert!(parse_stall(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn bytes() {
    assert_eq!(parse_bytes("4096\n"), Ok(Some(4_096)));
    assert_eq!(parse_bytes("max\n"), Ok(None));
    assert_eq!(parse_bytes("9223372036854771712\n"), Ok(None), "no limit in the first version");
    for bad in ["", "-1", "1 2", "18446744073709551616", "lots"] {
        assert!(matches!(parse_bytes(bad), Err(ParseError::Number { .. })), "{bad:?}");
    }
}

#[test]
fn kilobytes() {
    let text = "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    4000 kB\n";
    assert_eq!(parse_kilobytes(text, "MemAvailable"), Ok(Some(4_000 * 1_024)));
    assert_eq!(parse_kilobytes(text, "Mem"), Ok(None));
    assert_eq!(parse_kilobytes("VmRSS:\t  12 kB", "VmRSS"), Ok(Some(12 * 1_024)));
    assert!(parse_kilobytes("VmRSS:\t x kB", "VmRSS").is_err());
    assert!(parse_kilobytes("VmRSS: 18446744073709551615 kB", "VmRSS").is_err());
}

#[test]
fn groups() {
    assert_eq!(parse_cgroup_path("0::/user.slice/a\n"), Some(("/user.slice/a", true)));
    assert_eq!(parse_cgroup_path("12:cpu:/a\n9:memory:/b:c\n0::/d\n"), Some(("/b:c", false)));
    assert_eq!(parse_cgroup_path("garbage"), None);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,200}") {
        let _ = (parse_stall(&text), parse_bytes(&text), parse_kilobytes(&text, "VmRSS"), parse_cgroup_path(&text));
        let _ = parse_stall(&format!("some avg10={text}"));
    }
}

fn write(root: &Path, files: &[(&str, &str)]) -> LinuxMemory {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
    LinuxMemory::new(root.join("proc"), root.join("cgroup"))
}

fn check(files: &[(&str, &str)], expected: impl FnOnce(&mut MemoryReading)) {
    let root = tempfile::tempdir().expect("a folder");
    let reading = write(root.path(), files).read().expect("it can be read");
    let mut wanted = MemoryReading::default();
    expected(&mut wanted);
    assert_eq!(reading, wanted);
}

#[test]
fn nothing_there_is_nothing_known() {
    check(&[], |_| {});
}

#[test]
fn the_second_version_with_the_limit_of_a_group_above() {
    let files = [
        ("proc/pressure/memory", "some avg10=2.00 total=1\nfull avg10=1.00 total=1\n"),
        ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n"),
        ("proc/self/cgroup", "0::/a/b\n"),
        ("cgroup/a/b/memory.current", "100\n"),
        ("cgroup/a/b/memory.max", "max\n"),
        ("cgroup/a/memory.current", "900\n"),
        ("cgroup/a/memory.max", "1000\n"),
        ("cgroup/a/memory.stat", "anon 1\ninactive_file 300\n"),
    ];
    check(&files, |r| {
        (r.stall_some, r.stall_full) = (Some(2.0), Some(1.0));
        r.system = Some(Use { used: 600 * 1_024, limit: 1_000 * 1_024 });
        r.cgroup = Some(Use { used: 600, limit: 1_000 });
    });
}

#[test]
fn the_first_version() {
    let files = [
        ("proc/self/cgroup", "5:memory:/x\n"),
        ("cgroup/memory/x/memory.usage_in_bytes", "50\n"),
        ("cgroup/memory/x/memory.limit_in_bytes", "200\n"),
    ];
    check(&files, |r| r.cgroup = Some(Use { used: 50, limit: 200 }));
}

#[test]
fn a_group_outside_of_the_container_is_not_followed() {
    let files = [
        ("proc/self/cgroup", "0::/../../elsewhere\n"),
        ("cgroup/memory.current", "5\n"),
        ("cgroup/memory.max", "10\n"),
        ("elsewhere/memory.current", "9\n"),
        ("elsewhere/memory.max", "9\n"),
    ];
    check(&files, |r| r.cgroup = Some(Use { used: 5, limit: 10 }));
}

#[test]
fn garbage_is_an_error_that_names_the_file() {
    let root = tempfile::tempdir().expect("a folder");
    let error =
        write(root.path(), &[("proc/pressure/memory", "nonsense")]).read().expect_err("it is garbage");
    let ReadError::Parse { path, .. } = &error else { panic!("{error:?}") };
    assert!(path.ends_with("pressure/memory"), "{error}");
}

#[test]
fn processes_that_are_gone_count_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let files = [("proc/7/status", "Name: a\nVmRSS: 10 kB\n"), ("proc/8/status", "Name: kernel thread\n")];
    assert_eq!(write(root.path(), &files).resident(&[7, 8, 9]).expect("it can be read"), 10 * 1_024);
}

/// On the machine that runs the tests: whatever it has is understood.
#[test]
fn this_machine_is_understood() {
    let reading = LinuxMemory::default().read().expect("its files are understood");
    if cfg!(target_os = "linux") {
        assert!(reading.system.is_some_and(|system| system.limit > 0), "{reading:?}");
        let own = LinuxMemory::default().resident(&[std::process::id()]).expect("we are there");
        assert!(own > 100_000, "{own}");
    }
}
