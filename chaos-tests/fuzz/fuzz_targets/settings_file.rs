//! A configuration file.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::settings_file::run(bytes));
