//! Planning time and peak memory for a large model, which is made here without ever being held:
//! `bench_cutting [--layers N] [--json FILE]`. The default is 44 layers, 2.2 GB.
#![allow(clippy::print_stdout, reason = "a benchmark talks to its user's terminal")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use onnx_graph::proto::{
    AttributeProto, AttributeType, DataLocation, Dimension, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto,
};
use prost::Message as _;
use sharding::{ModelFile, Request, Strategy, WriteOptions, plan, write};

const WIDTH: i64 = 1024;

/// A row of products and softmaxes with residuals, whose weights lie in one file that has no data but its length.
fn model(layers: usize, folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut graph = GraphProto { name: Some("large".to_owned()), ..GraphProto::default() };
    let mut offset = 0_i64;
    let mut weight = |graph: &mut GraphProto, name: String, dims: [i64; 2]| {
        let length = dims[0] * dims[1] * 4;
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value),
        };
        graph.initializer.push(TensorProto {
            name: Some(name),
            dims: dims.to_vec(),
            data_type: Some(1),
            data_location: Some(DataLocation::External as i32),
            external_data: vec![
                entry("location", "weights.bin".to_owned()),
                entry("offset", offset.to_string()),
                entry("length", length.to_string()),
            ],
            ..TensorProto::default()
        });
        offset += length;
    };
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: Some(op.to_owned()),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let mut x = "x".to_owned();
    for layer in 0..layers {
        let name = |what: &str| format!("{what}{layer}");
        for (what, dims) in [("q", [WIDTH; 2]), ("k", [WIDTH; 2]), ("v", [WIDTH; 2]), ("o", [WIDTH; 2])] {
            weight(&mut graph, name(&format!("{what}w")), dims);
        }
        weight(&mut graph, name("upw"), [WIDTH, 4 * WIDTH]);
        weight(&mut graph, name("downw"), [4 * WIDTH, WIDTH]);
        let mut turned = node("Transpose", &[&name("k")], &name("kt"));
        turned.attribute = vec![AttributeProto {
            name: Some("perm".to_owned()),
            ints: vec![0, 2, 1],
            r#type: Some(AttributeType::Ints as i32),
            ..AttributeProto::default()
        }];
        graph.node.extend([
            node("MatMul", &[&x, &name("qw")], &name("q")),
            node("MatMul", &[&x, &name("kw")], &name("k")),
            turned,
            node("MatMul", &[&name("q"), &name("kt")], &name("scores")),
            node("Softmax", &[&name("scores")], &name("p")),
            node("MatMul", &[&x, &name("vw")], &name("v")),
            node("MatMul", &[&name("p"), &name("v")], &name("c")),
            node("MatMul", &[&name("c"), &name("ow")], &name("o")),
            node("Add", &[&x, &name("o")], &name("y")),
            node("MatMul", &[&name("y"), &name("upw")], &name("up")),
            node("Relu", &[&name("up")], &name("r")),
            node("MatMul", &[&name("r"), &name("downw")], &name("down")),
            node("Add", &[&name("y"), &name("down")], &name("x")),
        ]);
        x = name("x");
    }
    let info = |name: &str| {
        let dim = |value| Dimension { value: Some(value), denotation: None };
        let named = |name: &str| dim(DimensionValue::DimParam(name.to_owned()));
        let dims = vec![named("batch"), named("sequence"), dim(DimensionValue::DimValue(WIDTH))];
        let tensor = TensorType { elem_type: Some(1), shape: Some(TensorShapeProto { dim: dims }) };
        let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
        ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type), ..ValueInfoProto::default() }
    };
    graph.input.push(info("x"));
    graph.output.push(info(&x));
    let model = ModelProto {
        ir_version: Some(9),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(20) }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    std::fs::write(folder.join("model.onnx"), model.encode_to_vec())?;
    File::create(folder.join("weights.bin"))?.set_len(offset.unsigned_abs())?;
    Ok(offset.unsigned_abs())
}

/// The most memory in bytes that this process has had at once, as Linux tells.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let after =
        |flag: &str| arguments.iter().position(|found| found == flag).and_then(|at| arguments.get(at + 1));
    let layers = after("--layers").map_or(Ok(44), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let bytes = model(layers, folder.path())?;
    let before = peak();
    println!("model: {layers} layers, {bytes} bytes of weights; {before} bytes of memory before");
    let began = Instant::now();
    let file = ModelFile::open(folder.path().join("model.onnx"))?;
    let opened = began.elapsed();
    let mut rows = Vec::new();
    for strategy in [Strategy::Layer, Strategy::AttentionFeedforward, Strategy::Optimal] {
        let began = Instant::now();
        let cut = plan(&file, &Request::new(strategy, 4))?;
        let took = began.elapsed();
        let stages = cut.plan().stages.len();
        println!(
            "plan {strategy:<22} {:>8.1} ms, {stages} stages, peak {} bytes",
            took.as_secs_f64() * 1e3,
            peak()
        );
        rows.push(serde_json::json!({ "strategy": strategy, "plan_ms": took.as_secs_f64() * 1e3, "stages": stages }));
    }
    let cut = plan(&file, &Request::new(Strategy::Layer, 4))?;
    let began = Instant::now();
    let written = write(&cut, &folder.path().join("parts"), &WriteOptions::default())?;
    let took = began.elapsed().as_secs_f64();
    let largest = written.stages.iter().map(|stage| stage.weight_bytes).max().unwrap_or(0);
    println!(
        "write layer: {took:.1} s, {:.0} MB/s; largest part {largest} bytes; peak {} bytes",
        bytes as f64 / 1e6 / took,
        peak()
    );
    if let Some(path) = after("--json") {
        let figures = serde_json::json!({
            "weight_bytes": bytes, "open_ms": opened.as_secs_f64() * 1e3, "plans": rows, "write_s": took,
            "largest_part_bytes": largest, "peak_bytes": peak(), "peak_bytes_before": before,
        });
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}
