//! Which inputs a model takes, and what is said about those that it does not.

use std::collections::BTreeMap;

use tensor::{DType, Dim, InputError, NamedTensor, Signature, Tensor, TensorSpec};

fn spec(name: &str, dims: Option<Vec<Dim>>, optional: bool) -> TensorSpec {
    TensorSpec { name: name.into(), dtype: DType::I64, dims, optional }
}

/// `input_ids` [batch, sequence], `attention_mask` [batch, sequence], `scale` [1] with a default, `any` of any rank.
fn signature() -> Signature {
    let symbols = || Some(vec![Dim::Symbol("batch".into()), Dim::Symbol("sequence".into())]);
    let inputs = vec![
        spec("input_ids", symbols(), false),
        spec("attention_mask", symbols(), false),
        spec("scale", Some(vec![Dim::Fixed(1)]), true),
        spec("any", None, true),
    ];
    Signature { inputs, outputs: Vec::new() }
}

fn given(name: &str, dims: &[u64]) -> NamedTensor {
    let elements: u64 = dims.iter().product();
    NamedTensor::new(name, Tensor::from_vec(dims, vec![0_i64; elements as usize]).expect("counted"))
}

#[track_caller]
fn check(inputs: &[NamedTensor], message: &str) -> InputError {
    let error = signature().bind(inputs).expect_err("it does not fit");
    assert_eq!(error.to_string(), message);
    error
}

#[test]
fn what_fits_gives_the_symbols_their_sizes() {
    let inputs = [given("attention_mask", &[2, 16]), given("any", &[]), given("input_ids", &[2, 16])];
    let bindings = signature().bind(&inputs).expect("it fits");
    assert_eq!(bindings, BTreeMap::from([("batch".into(), 2), ("sequence".into(), 16)]));
}

#[test]
fn each_misfit_says_what_to_do() {
    let ids = given("input_ids", &[1, 4]);
    let mask = given("attention_mask", &[1, 4]);
    check(
        std::slice::from_ref(&ids),
        r#"input "attention_mask" is missing: give attention_mask: int64[batch,sequence]"#,
    );
    check(&[given("input_id", &[1])], r#"the model has no input "input_id": did you mean "input_ids"?"#);
    check(
        &[given("tokens", &[1])],
        r#"the model has no input "tokens": the nearest are "any", "scale", "input_ids""#,
    );
    check(&[ids.clone(), ids.clone()], r#"input "input_ids" was given twice: give it once"#);
    check(
        &[NamedTensor::new("input_ids", Tensor::scalar(1.0_f32)), mask.clone()],
        r#"input "input_ids" takes int64 elements, but float32 were given: convert them first"#,
    );
    check(
        &[given("input_ids", &[4]), mask.clone()],
        "input input_ids: int64[batch,sequence] takes 2 dimensions, but shape [4] has 1: reshape it",
    );
    check(
        &[ids.clone(), mask, given("scale", &[2])],
        r#"input "scale" takes 1 in dimension 0, but shape [2] has 2: reshape, pad or cut it"#,
    );
    let conflict = check(
        &[ids, given("attention_mask", &[1, 5])],
        r#"dimension "sequence" is 4 in input_ids[1] but 5 in attention_mask[1]: give both the same size"#,
    );
    assert!(matches!(conflict, InputError::SymbolConflict { first: 4, second: 5, .. }));
}

#[test]
fn a_hostile_name_is_answered_without_being_compared() {
    let name = "x".repeat(1 << 20);
    assert!(matches!(signature().bind(&[given(&name, &[])]), Err(InputError::Unexpected { .. })));
}

#[test]
fn dimensions_are_numbers_names_or_null_in_json() {
    let dims = vec![Dim::Fixed(3), Dim::Symbol("n".into()), Dim::Unknown];
    let json = serde_json::to_string(&dims).expect("it writes");
    assert_eq!(json, r#"[3,"n",null]"#);
    assert_eq!(serde_json::from_str::<Vec<Dim>>(&json).expect("it reads"), dims);
}
