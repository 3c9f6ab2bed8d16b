//! The program as its users run it.

mod errors;
#[cfg(unix)]
mod mesh;
mod support;
mod verbs;
