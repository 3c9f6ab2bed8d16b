//! Live meshes of real processes, clients in several languages, and fuzzing, for the tests of this
//! crate.

pub mod fuzz;
pub mod live;
pub mod sim;
pub mod tidy;
