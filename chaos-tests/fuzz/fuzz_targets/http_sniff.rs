//! The first bytes on a client address.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::http_sniff::run(bytes));
