//! Request/reply at one node.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::requests::run(bytes));
