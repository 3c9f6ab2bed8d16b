//! The program as its users run it, as far as it needs no mesh for that.

mod errors;
mod support;
mod verbs;
