//! A membership machine and what it hears.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::gossip_machine::run(bytes));
