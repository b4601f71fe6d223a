//! Changes to a model that bytes drawn at random would never make: the file stays one, and what it says becomes strange.
//!
//! Tests and fuzz targets share it.

use onnx_graph::proto::{
    AttributeProto, AttributeType, DataLocation, Dimension, DimensionValue, FunctionProto, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto,
};

/// Operators whose outputs' types and sizes follow by rules of their own, and those that strategies look for.
const OPERATORS: &[&str] = &[
    "Add",
    "Attention",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Compress",
    "Concat",
    "ConcatFromSequence",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "DequantizeLinear",
    "Einsum",
    "Expand",
    "Flatten",
    "GRU",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "Identity",
    "If",
    "LayerNormalization",
    "Loop",
    "MatMul",
    "MaxPool",
    "NonZero",
    "OneHot",
    "Pad",
    "RandomNormal",
    "Range",
    "ReduceMean",
    "Reshape",
    "Resize",
    "Scan",
    "ScatterElements",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceInsert",
    "Shape",
    "Size",
    "Slice",
    "Softmax",
    "SpaceToDepth",
    "Split",
    "SplitToSequence",
    "Squeeze",
    "Tile",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
    "NoSuchOperator",
];

const SETTINGS: &[&str] = &[
    "axis",
    "axes",
    "perm",
    "kernel_shape",
    "strides",
    "dilations",
    "pads",
    "output_padding",
    "output_shape",
    "auto_pad",
    "group",
    "to",
    "batch_dims",
    "num_outputs",
    "num_scan_inputs",
    "scan_input_axes",
    "scan_output_axes",
    "keepdims",
    "blocksize",
    "start",
    "end",
    "split",
    "equation",
    "value",
    "value_int",
    "value_ints",
    "dtype",
    "hidden_size",
    "direction",
];

const NUMBERS: &[i64] =
    &[0, 1, -1, 2, 3, 4, 7, -2, 100, 1 << 31, -(1 << 31), 1 << 40, i64::MAX, i64::MIN, i64::MAX - 1];

const PLACES: &[&str] = &[
    "../outside.bin",
    "a/../../outside.bin",
    "model.onnx",
    "./model.onnx",
    "#self",
    "data.bin",
    "./data.bin",
    "",
    ".",
];

/// Where decisions come from.
pub(crate) trait Dice {
    /// A number below `sides`, which is at least 1.
    fn roll(&mut self, sides: usize) -> usize;

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.roll(from.len())]) }
    }

    fn pick_mut<'a, T>(&mut self, from: &'a mut [T]) -> Option<&'a mut T> {
        if from.is_empty() {
            return None;
        }
        let at = self.roll(from.len());
        from.get_mut(at)
    }

    fn number(&mut self) -> i64 {
        NUMBERS[self.roll(NUMBERS.len())]
    }

    fn text(&mut self, from: &[&str]) -> String {
        from[self.roll(from.len())].to_owned()
    }
}

/// Makes one change.
pub(crate) fn tweak(model: &mut ModelProto, dice: &mut impl Dice) {
    match dice.roll(16) {
        0 => _ = model.opset_import.pop(),
        1 => {
            let (domain, version) = (dice.text(&["", "ai.onnx", "local", "com.microsoft"]), dice.number());
            model.opset_import.push(OperatorSetIdProto { domain: Some(domain), version: Some(version) });
        }
        2 => become_function(model, dice),
        _ => {
            if let Some(graph) = &mut model.graph {
                tweak_graph(graph, dice);
            }
        }
    }
}

fn tweak_graph(graph: &mut GraphProto, dice: &mut impl Dice) {
    let name = a_value(graph, dice);
    match dice.roll(15) {
        0..4 => {
            if let Some(node) = dice.pick_mut(&mut graph.node) {
                tweak_node(node, name, dice);
            }
        }
        4 => {
            let (a, b) = (dice.pick(&graph.node).cloned(), dice.roll(graph.node.len() + 1));
            graph.node.splice(b..b, a);
        }
        5 => {
            let at = dice.roll(graph.node.len().max(1));
            graph.node.drain(at..graph.node.len().min(at + 1));
        }
        6 if graph.node.len() > 1 => {
            let (a, b) = (dice.roll(graph.node.len()), dice.roll(graph.node.len()));
            graph.node.swap(a, b);
        }
        7 => wrap(graph, dice),
        8 => {
            if let Some(weight) = dice.pick_mut(&mut graph.initializer) {
                match dice.roll(5) {
                    0 => weight.dims.push(dice.number()),
                    1 => weight.data_type = Some(dice.roll(30) as i32),
                    2 => weight.name = Some(name),
                    3 => weight.raw_data = None,
                    _ => {
                        let location = dice.text(PLACES);
                        let place = [("location", location), ("offset", dice.number().to_string())];
                        let entry = |(key, value): (&str, String)| StringStringEntryProto {
                            key: Some(key.to_owned()),
                            value: Some(value),
                        };
                        weight.external_data = place.map(entry).into();
                        weight.data_location = Some(DataLocation::External as i32);
                    }
                }
            }
        }
        9 => {
            let at = dice.roll(graph.initializer.len().max(1));
            graph.initializer.drain(at..graph.initializer.len().min(at + 1));
        }
        10 => graph.input.push(info(name, dice)),
        11 => graph.output.push(info(name, dice)),
        12 => graph.value_info.push(info(name, dice)),
        13 => _ = graph.output.pop(),
        _ => {
            let typed = [&mut graph.input, &mut graph.output, &mut graph.value_info];
            let infos = typed.into_iter().nth(dice.roll(3));
            if let Some(changed) = infos.and_then(|infos| dice.pick_mut(infos)) {
                let name = changed.name.take();
                *changed = ValueInfoProto { name, ..info(String::new(), dice) };
            }
        }
    }
}

fn tweak_node(node: &mut NodeProto, name: String, dice: &mut impl Dice) {
    match dice.roll(10) {
        0 | 1 => node.op_type = Some(dice.text(OPERATORS)),
        2 => node.input.push(name),
        3 => _ = node.input.pop(),
        4 => {
            if let Some(input) = dice.pick_mut(&mut node.input) {
                *input = if dice.roll(4) == 0 { String::new() } else { name };
            }
        }
        5 => node.output.push(format!("{name}/{}", dice.roll(9))),
        6 => {
            if let Some(output) = dice.pick_mut(&mut node.output) {
                *output = if dice.roll(2) == 0 { String::new() } else { name };
            }
        }
        7 => node.domain = Some(dice.text(&["", "ai.onnx", "local", "com.microsoft"])),
        8 => _ = node.attribute.pop(),
        _ => node.attribute.push(setting(dice)),
    }
}

fn setting(dice: &mut impl Dice) -> AttributeProto {
    let name = Some(dice.text(SETTINGS));
    let whole = AttributeProto { name, ..AttributeProto::default() };
    match dice.roll(3) {
        0 => AttributeProto { i: Some(dice.number()), r#type: Some(AttributeType::Int as i32), ..whole },
        1 => {
            let ints = (0..dice.roll(5)).map(|_| dice.number()).collect();
            AttributeProto { ints, r#type: Some(AttributeType::Ints as i32), ..whole }
        }
        _ => {
            let text = dice.text(&["SAME_UPPER", "ij,jk->ik", "...a,a->", "->", "bidirectional", "b,,->->"]);
            let s = Some(text.into_bytes().into());
            AttributeProto { s, r#type: Some(AttributeType::String as i32), ..whole }
        }
    }
}

/// Some value that the graph knows.
fn a_value(graph: &GraphProto, dice: &mut impl Dice) -> String {
    let inputs = graph.input.iter().map(|input| input.name());
    let weights = graph.initializer.iter().map(|weight| weight.name());
    let given = graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
    let names: Vec<&str> = inputs.chain(weights).chain(given).collect();
    dice.pick(&names).copied().unwrap_or_default().to_owned()
}

fn info(name: String, dice: &mut impl Dice) -> ValueInfoProto {
    let dim = |dice: &mut _| Dimension { value: size(dice), denotation: None };
    let shape = TensorShapeProto { dim: (0..dice.roll(5)).map(|_| dim(dice)).collect() };
    let shape = Some(shape).filter(|_| dice.roll(4) > 0);
    let tensor = TensorType { elem_type: Some(dice.roll(30) as i32), shape };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name), r#type: Some(r#type), ..ValueInfoProto::default() }
}

fn size(dice: &mut impl Dice) -> Option<DimensionValue> {
    match dice.roll(3) {
        0 => None,
        1 => Some(DimensionValue::DimParam(dice.text(&["batch", "sequence", "", "past + 1"]))),
        _ => Some(DimensionValue::DimValue(dice.number())),
    }
}

/// Moves a node into the body of another one, where it goes on using what stands around it.
fn wrap(graph: &mut GraphProto, dice: &mut impl Dice) {
    let name = a_value(graph, dice);
    let Some(node) = dice.pick_mut(&mut graph.node) else { return };
    let output = node
        .output
        .iter()
        .map(|name| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() });
    let body = GraphProto { output: output.collect(), node: vec![node.clone()], ..GraphProto::default() };
    let attribute = |name: &str| AttributeProto {
        name: Some(name.to_owned()),
        g: Some(Box::new(body.clone())),
        r#type: Some(AttributeType::Graph as i32),
        ..AttributeProto::default()
    };
    *node = match dice.roll(3) {
        0 => NodeProto {
            op_type: Some("If".to_owned()),
            input: vec![name],
            attribute: vec![attribute("then_branch"), attribute("else_branch")],
            ..node.clone()
        },
        1 => {
            NodeProto { op_type: Some("Loop".to_owned()), attribute: vec![attribute("body")], ..node.clone() }
        }
        _ => NodeProto {
            op_type: Some("Scan".to_owned()),
            attribute: vec![attribute("body"), setting(dice)],
            ..node.clone()
        },
    };
}

/// Makes a node the body of a function, and a call of it what it was.
fn become_function(model: &mut ModelProto, dice: &mut impl Dice) {
    let opset_import = model.opset_import.clone();
    let name = format!("f{}", dice.roll(3));
    let Some(node) = model.graph.as_mut().and_then(|graph| dice.pick_mut(&mut graph.node)) else { return };
    let (name, domain) = (Some(name), Some("local".to_owned()));
    let call =
        NodeProto { op_type: name.clone(), domain: domain.clone(), attribute: Vec::new(), ..node.clone() };
    model.functions.push(FunctionProto {
        name,
        domain: domain.clone(),
        input: node.input.iter().filter(|input| !input.is_empty()).cloned().collect(),
        output: node.output.clone(),
        node: vec![std::mem::replace(node, call)],
        opset_import,
        ..FunctionProto::default()
    });
    model.opset_import.push(OperatorSetIdProto { domain, version: Some(1) });
}
