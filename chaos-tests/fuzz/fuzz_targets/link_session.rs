//! A forwarding core, other nodes and clients.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::link_session::run(bytes));
