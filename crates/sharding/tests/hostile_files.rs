//! A file that is made to exhaust whoever reads it. On its own, because it looks at the whole process's memory.

use std::io::{BufWriter, Write as _};

use onnx_graph::OnnxError;
use sharding::{ModelFile, ReadError};

const NODES: u64 = 10_000_000;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The lowest seven bits, and a mark that more follow.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The largest memory that this process has had, in MiB; `None` where the system does not tell.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[test]
fn ten_million_nodes_are_refused_before_they_take_memory() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("model.onnx");
    // A node of 14 bytes in the file is more than a hundred in memory. input "x", output "x", op_type "Relu".
    let node = b"\x0a\x0c\x0a\x01x\x12\x01x\x22\x04Relu";
    let mut head = vec![0x08, 0x08, 0x42, 0x02, 0x10, 0x14, 0x3a];
    varint(&mut head, NODES * node.len() as u64);
    let mut file = BufWriter::new(std::fs::File::create(&path).expect("a file"));
    file.write_all(&head).expect("there is room");
    let thousand = node.repeat(1_000);
    for _ in 0..NODES / 1_000 {
        file.write_all(&thousand).expect("there is room");
    }
    file.flush().expect("there is room");
    let before = peak_mib();
    let error = ModelFile::open(&path).expect_err("nobody exports that");
    let ReadError::Model { source: OnnxError::OverLimit { .. }, .. } = &error else { panic!("{error:?}") };
    if let (Some(before), Some(after)) = (before, peak_mib()) {
        let bytes = std::fs::metadata(&path).expect("it is there").len() >> 20;
        assert!(after - before < 600, "{after} MiB after {before}, for a file of {bytes} MiB");
    }
}
