//! Whether every node is one that exists and takes only what stands before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::OnnxError;
use crate::operators::{MICROSOFT, full_name, newest, since};
use crate::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

/// How deeply graphs may be nested in nodes of graphs.
const MAX_GRAPH_DEPTH: usize = 24;

/// The names that are defined where a node stands: those of its own graph and of those around it.
struct Scope<'a> {
    names: HashSet<&'a str>,
    outer: Option<&'a Self>,
}

impl Scope<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.outer.is_some_and(|outer| outer.has(name))
    }
}

/// What is the same for all nodes of the model, or of one function.
struct Context<'a> {
    opsets: BTreeMap<&'a str, i64>,
    functions: &'a HashSet<(&'a str, &'a str)>,
}

/// Checks the graph, its subgraphs and the functions of a model.
pub(crate) fn check(model: &ModelProto, graph: &GraphProto) -> Result<(), OnnxError> {
    let functions = model.functions.iter().map(|function| (full_name(function.domain()), function.name()));
    let functions: HashSet<_> = functions.collect();
    let opsets = opsets(&model.opset_import)?;
    if opsets.is_empty() {
        return Err(OnnxError::NoOpset);
    }
    check_graph(graph, None, &Context { opsets, functions: &functions }, 0)?;
    model.functions.iter().try_for_each(|function| check_function(function, &functions))?;
    check_calls(&model.functions)
}

/// Refuses functions that call themselves: takes away those that call none that is left, until nothing is or none can be.
fn check_calls(functions: &[FunctionProto]) -> Result<(), OnnxError> {
    let named: HashMap<_, usize> = functions
        .iter()
        .enumerate()
        .map(|(at, function)| ((full_name(function.domain()), function.name(), function.overload()), at))
        .collect();
    let mut calls: Vec<HashSet<usize>> = vec![HashSet::new(); functions.len()];
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); functions.len()];
    for (at, function) in functions.iter().enumerate() {
        let mut open: Vec<&NodeProto> = function.node.iter().collect();
        while let Some(node) = open.pop() {
            if let Some(&called) = named.get(&(full_name(node.domain()), node.op_type(), node.overload()))
                && calls[at].insert(called)
            {
                callers[called].push(at);
            }
            let graphs =
                node.attribute.iter().flat_map(|own| own.g.as_deref().into_iter().chain(&own.graphs));
            open.extend(graphs.flat_map(|graph| &graph.node));
        }
    }
    let mut left: Vec<usize> = calls.iter().map(HashSet::len).collect();
    let mut done: Vec<usize> = (0..functions.len()).filter(|&at| left[at] == 0).collect();
    while let Some(at) = done.pop() {
        for &caller in &callers[at] {
            left[caller] -= 1;
            if left[caller] == 0 {
                done.push(caller);
            }
        }
    }
    match left.iter().position(|&left| left > 0) {
        Some(at) => Err(OnnxError::RecursiveFunction {
            domain: full_name(functions[at].domain()).to_owned(),
            name: functions[at].name().to_owned(),
        }),
        None => Ok(()),
    }
}

fn opsets(imports: &[OperatorSetIdProto]) -> Result<BTreeMap<&str, i64>, OnnxError> {
    let mut opsets = BTreeMap::new();
    for import in imports {
        let (domain, version) = (full_name(import.domain()), import.version());
        if let Some(newest) = newest(domain)
            && !(1..=newest).contains(&version)
        {
            return Err(OnnxError::UnknownOpset { domain: domain.to_owned(), version, newest });
        }
        opsets.insert(domain, version);
    }
    Ok(opsets)
}

fn check_function<'a>(
    function: &'a FunctionProto,
    functions: &'a HashSet<(&'a str, &'a str)>,
) -> Result<(), OnnxError> {
    let context = Context { opsets: opsets(&function.opset_import)?, functions };
    let mut scope = Scope { names: function.input.iter().map(String::as_str).collect(), outer: None };
    check_nodes(&function.node, &mut scope, &context, 0)?;
    check_outputs(function.output.iter().map(String::as_str), &scope)
}

fn check_graph(
    graph: &GraphProto,
    outer: Option<&Scope<'_>>,
    context: &Context<'_>,
    depth: usize,
) -> Result<(), OnnxError> {
    if depth > MAX_GRAPH_DEPTH {
        let what = "the nesting of graphs";
        return Err(OnnxError::OverLimit { what, limit: MAX_GRAPH_DEPTH as u64 });
    }
    let inputs = graph.input.iter().map(|input| input.name());
    let constants = graph.initializer.iter().map(|constant| constant.name());
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let names = inputs.chain(constants).chain(sparse.map(|values| values.name())).collect();
    let mut scope = Scope { names, outer };
    check_nodes(&graph.node, &mut scope, context, depth)?;
    check_outputs(graph.output.iter().map(|output| output.name()), &scope)
}

fn check_outputs<'a>(mut outputs: impl Iterator<Item = &'a str>, scope: &Scope<'_>) -> Result<(), OnnxError> {
    match outputs.find(|output| !scope.has(output)) {
        Some(output) => Err(OnnxError::UndefinedOutput { output: output.to_owned() }),
        None => Ok(()),
    }
}

fn check_nodes<'a>(
    nodes: &'a [NodeProto],
    scope: &mut Scope<'a>,
    context: &Context<'_>,
    depth: usize,
) -> Result<(), OnnxError> {
    for (index, node) in nodes.iter().enumerate() {
        check_operator(node, context)?;
        if let Some(input) = node.input.iter().find(|input| !input.is_empty() && !scope.has(input)) {
            return Err(unavailable(nodes, index, input));
        }
        for attribute in &node.attribute {
            for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                check_graph(graph, Some(scope), context, depth + 1)?;
            }
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !scope.names.insert(output) {
                return Err(OnnxError::DefinedTwice { node: label(node), output: output.clone() });
            }
        }
    }
    Ok(())
}

fn check_operator(node: &NodeProto, context: &Context<'_>) -> Result<(), OnnxError> {
    let (domain, operator) = (full_name(node.domain()), node.op_type());
    if context.functions.contains(&(domain, operator)) {
        return Ok(());
    }
    let (domain, operator) = (domain.to_owned(), operator.to_owned());
    if newest(&domain).is_none() && domain != MICROSOFT {
        return Err(OnnxError::UnknownDomain { node: label(node), domain, operator });
    }
    let Some(&opset) = context.opsets.get(&*domain) else {
        return Err(OnnxError::DomainNotImported { node: label(node), domain });
    };
    match since(&domain, &operator) {
        _ if domain == MICROSOFT => Ok(()),
        None => Err(OnnxError::UnknownOperator { node: label(node), domain, operator }),
        Some(since) if since > opset => {
            Err(OnnxError::OperatorTooNew { node: label(node), operator, since, opset })
        }
        Some(_) => Ok(()),
    }
}

/// Finds out why an input is not there yet: nothing gives it, or only a later node does.
fn unavailable(nodes: &[NodeProto], index: usize, input: &str) -> OnnxError {
    let mut giver = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        node.output.iter().for_each(|output| _ = giver.entry(output.as_str()).or_insert(at));
    }
    let (node, name) = (label(&nodes[index]), input.to_owned());
    let Some(&first) = giver.get(input) else {
        return OnnxError::UndefinedInput { node, input: name };
    };
    let mut seen = HashSet::from([first]);
    let mut next = vec![first];
    while let Some(at) = next.pop() {
        if at == index {
            return OnnxError::Cycle { node, input: name };
        }
        let givers = nodes[at].input.iter().filter_map(|input| giver.get(input.as_str()));
        next.extend(givers.copied().filter(|&at| seen.insert(at)));
    }
    OnnxError::NotSorted { node, input: name }
}

/// The name of a node, or if it has none, its operator and its first output.
fn label(node: &NodeProto) -> String {
    match (node.name(), node.output.first()) {
        ("", Some(output)) => format!("{} ({output:?})", node.op_type()),
        ("", None) => node.op_type().to_owned(),
        (name, _) => format!("{name:?}"),
    }
}
