//! A guess at what a model is for, from the names and shapes of what it takes and gives.

use tensor::{DType, Dim, Signature, TensorSpec};
use vocab::ModelType;

/// A last dimension of at least this many logits a token is taken for a vocabulary.
const SMALLEST_VOCABULARY: u64 = 1000;

/// Bands of the mel spectrograms that speech models take.
const MEL_BANDS: [u64; 2] = [80, 128];

pub(crate) fn guess(signature: &Signature) -> Option<ModelType> {
    let any = |is: fn(&TensorSpec) -> bool| signature.inputs.iter().any(is);
    match (any(is_text), any(is_image), any(is_audio)) {
        (true, false, false) => Some(text_family(signature)),
        (false, true, false) => Some(ModelType::Vision),
        (false, false, true) => Some(ModelType::Audio),
        (false, false, false) => None,
        _ => Some(ModelType::Multimodal),
    }
}

fn text_family(signature: &Signature) -> ModelType {
    let remembers = signature.inputs.iter().any(|input| input.name.contains("past"));
    if remembers || signature.outputs.iter().any(is_vocabulary) {
        ModelType::TextGeneration
    } else if signature.outputs.iter().any(is_vector_a_text) {
        ModelType::TextEmbedding
    } else {
        ModelType::Text
    }
}

fn is_text(input: &TensorSpec) -> bool {
    matches!(input.dtype, DType::I64 | DType::I32) && input.name.contains("input_ids")
}

fn is_image(input: &TensorSpec) -> bool {
    let is_rgb = matches!(dims(input), [_, Dim::Fixed(3), _, _]);
    numbers(input) && (is_rgb || input.name.contains("pixel_values"))
}

fn is_audio(input: &TensorSpec) -> bool {
    const WORDS: [&str; 5] = ["mel", "audio", "waveform", "input_features", "input_values"];
    let is_spectrogram = matches!(dims(input), [_, Dim::Fixed(bands), _] if MEL_BANDS.contains(bands));
    numbers(input) && (is_spectrogram || WORDS.iter().any(|word| input.name.contains(word)))
}

fn is_vocabulary(output: &TensorSpec) -> bool {
    let is_large = matches!(dims(output), [_, _, Dim::Fixed(size)] if *size >= SMALLEST_VOCABULARY);
    is_large && output.name.contains("logits")
}

/// Scores have the same shape as an embedding, but are mostly named for what they are.
fn is_vector_a_text(output: &TensorSpec) -> bool {
    const SCORES: [&str; 4] = ["logits", "score", "prob", "label"];
    let is_vector = matches!(dims(output), [_, _]);
    numbers(output) && is_vector && !SCORES.iter().any(|word| output.name.contains(word))
}

fn numbers(spec: &TensorSpec) -> bool {
    spec.dtype.is_float()
}

fn dims(spec: &TensorSpec) -> &[Dim] {
    spec.dims.as_deref().unwrap_or_default()
}
