//! The `zmesh` program.
fn main() {}
