//! Live meshes of real processes, clients in several languages, a simulation and a fuzzer, for the
//! tests of this crate; and the boards.

pub mod boards;
pub mod fuzz;
pub mod live;
pub mod live_chaos;
pub mod page;
pub mod scrape_cost;
pub mod sim;
pub mod tidy;
