#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| director_fuzz_bodies::fuzz_segments(data));
