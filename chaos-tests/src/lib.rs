//! Live meshes of real processes, and clients in several languages, for the tests of this crate.

pub mod live;
pub mod sim;
pub mod tidy;
