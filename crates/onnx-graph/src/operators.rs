//! Which operators there are. The table is the text file beside this one, which also says how it was made.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::proto::{FunctionProto, NodeProto};

/// The name of the standard domain, which files mostly leave empty.
pub(crate) const STANDARD: &str = "ai.onnx";

/// The domain of ONNX Runtime's own operators. They come and go with its version, so that any name is taken.
pub(crate) const MICROSOFT: &str = "com.microsoft";

/// The newest opset of each domain that the table covers.
const NEWEST: [(&str, i64); 2] = [(STANDARD, 28), ("ai.onnx.ml", 5)];

/// Domain and name of each operator, and the opset that introduced it.
static TABLE: LazyLock<BTreeMap<(&str, &str), i64>> = LazyLock::new(|| {
    let mut table = BTreeMap::new();
    for line in include_str!("operators.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        if let (Some(domain), Some(name), Some(Ok(since))) =
            (words.next(), words.next(), words.next().map(str::parse))
        {
            // What the runtime adds stands last and may have an operator from an earlier opset on.
            table.insert((domain, name), since);
        }
    }
    table
});

/// The opset that introduced the operator, if the domain has it.
pub(crate) fn since(domain: &str, name: &str) -> Option<i64> {
    TABLE.get(&(domain, name)).copied()
}

/// The newest opset of a domain that the table covers.
pub(crate) fn newest(domain: &str) -> Option<i64> {
    NEWEST.iter().find(|(name, _)| *name == domain).map(|&(_, newest)| newest)
}

/// Whether a node calls a function of its model. The standard domain is the same under its full name and under none.
#[must_use]
pub fn calls(node: &NodeProto, function: &FunctionProto) -> bool {
    (node.op_type(), full_name(node.domain())) == (function.name(), full_name(function.domain()))
        && node.overload() == function.overload()
}

/// The operator of a node: `Add`, or `com.microsoft:FusedMatMul` outside of the standard domain.
#[must_use]
pub fn qualified(node: &NodeProto) -> String {
    match full_name(node.domain()) {
        STANDARD => node.op_type().to_owned(),
        domain => format!("{domain}:{}", node.op_type()),
    }
}

/// The domain by its full name.
pub(crate) fn full_name(domain: &str) -> &str {
    if domain.is_empty() { STANDARD } else { domain }
}
