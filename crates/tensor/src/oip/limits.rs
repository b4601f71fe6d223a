//! How large a message may be.

/// The largest message that a reader accepts. The length of the message itself is for the caller to bound, who reads
/// it from a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Elements of all tensors of one message together. Default: 64 Mi (256 MiB of `FP32`).
    pub max_elements: u64,
    /// Tensors of one message. Default: 1024.
    pub max_tensors: usize,
    /// Dimensions of one tensor. Default: 32.
    pub max_rank: usize,
    /// Bytes of one tensor's name. Default: 4096.
    pub max_name_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_elements: 64 << 20, max_tensors: 1024, max_rank: 32, max_name_bytes: 4096 }
    }
}
