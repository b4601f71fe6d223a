//! From a file, a directory or an address to a model that workers can load.

mod family;
mod fetch;
mod files;
mod resolve;
mod spec;

pub use family::family_by_name;
pub(crate) use files::Located;
pub use files::locate_model;
pub use resolve::ResolvedModel;
pub use spec::ModelSpec;
