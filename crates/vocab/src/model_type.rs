//! Model families, as the seed names them.

use crate::names::closed_names;

closed_names! {
    /// What a model is for. Selection falls back to a family's experience where a model has none of its own.
    "model type" ModelType {
        /// Text in, classes or token features out.
        Text = "text",
        /// Text in, one vector a text out.
        TextEmbedding = "text_embedding",
        /// Text in, more text out, token by token.
        TextGeneration = "text_generation",
        /// Images in.
        Vision = "vision",
        /// Sound, or a spectrogram of it, in.
        Audio = "audio",
        /// Several kinds of input at once.
        Multimodal = "multimodal",
    }
}
