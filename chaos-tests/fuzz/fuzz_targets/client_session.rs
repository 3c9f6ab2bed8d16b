//! Clients of one node against a model.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::client_session::run(bytes));
