//! Model families by name.

use vocab::ModelType;

/// Parts of names, most telling first. The order matters: a CLIP with a ViT in its name is multimodal.
const PARTS: &[(&str, ModelType)] = &[
    ("clip", ModelType::Multimodal),
    ("blip", ModelType::Multimodal),
    ("llava", ModelType::Multimodal),
    ("paligemma", ModelType::Multimodal),
    ("whisper", ModelType::Audio),
    ("wav2vec", ModelType::Audio),
    ("hubert", ModelType::Audio),
    ("clap", ModelType::Audio),
    ("llama", ModelType::TextGeneration),
    ("gpt", ModelType::TextGeneration),
    ("qwen", ModelType::TextGeneration),
    ("mistral", ModelType::TextGeneration),
    ("gemma", ModelType::TextGeneration),
    ("phi", ModelType::TextGeneration),
    ("smollm", ModelType::TextGeneration),
    ("minilm", ModelType::TextEmbedding),
    ("mpnet", ModelType::TextEmbedding),
    ("sentence", ModelType::TextEmbedding),
    ("embed", ModelType::TextEmbedding),
    ("e5", ModelType::TextEmbedding),
    ("bge", ModelType::TextEmbedding),
    ("gte", ModelType::TextEmbedding),
    ("vit", ModelType::Vision),
    ("deit", ModelType::Vision),
    ("swin", ModelType::Vision),
    ("resnet", ModelType::Vision),
    ("convnext", ModelType::Vision),
    ("mobilenet", ModelType::Vision),
    ("efficientnet", ModelType::Vision),
    ("densenet", ModelType::Vision),
    ("yolo", ModelType::Vision),
    ("detr", ModelType::Vision),
    ("bert", ModelType::Text),
    ("electra", ModelType::Text),
    ("t5", ModelType::Text),
    ("bart", ModelType::Text),
];

/// Guesses a family from a name: `None` where no part of it is known. A part counts where a word of the name begins with
/// it or, from four letters on, anywhere, so that `all-MiniLM-L6-v2` is found and `invitation` is no ViT.
///
/// ```
/// use vocab::ModelType;
/// use webnn_pool::family_by_name;
///
/// assert_eq!(family_by_name("openai/whisper-tiny"), Some(ModelType::Audio));
/// assert_eq!(family_by_name("distilbert-base-uncased"), Some(ModelType::Text));
/// assert_eq!(family_by_name("invitation"), None);
/// ```
#[must_use]
pub fn family_by_name(name: &str) -> Option<ModelType> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let known = |part: &str| {
        words.iter().any(|word| word.starts_with(part)) || (part.len() >= 4 && name.contains(part))
    };
    PARTS.iter().find(|(part, _)| known(part)).map(|(_, family)| *family)
}
