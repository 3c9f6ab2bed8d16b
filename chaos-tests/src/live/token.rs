//! Frames as client programs print them: short ones in hexadecimal, long ones by their checksum.

/// Longer frames are named by length and checksum, and sent from a file.
pub(crate) const SHORT: usize = 256;

/// A frame as clients print it.
pub fn token(frame: &[u8]) -> String {
    match frame.len() {
        0 => "-".into(),
        length if length > SHORT => format!("={length}:{:08x}", crc32(frame)),
        _ => frame.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The frames of a message as clients print them.
pub fn tokens<F: AsRef<[u8]>>(frames: &[F]) -> Vec<String> {
    frames.iter().map(|frame| token(frame.as_ref())).collect()
}

/// The checksum of zlib and PNG, which every language has or has room for.
fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256)
        .map(|index| {
            (0..8).fold(index, |it, _| {
                if it & 1 == 1 {
                    0xedb8_8320 ^ (it >> 1)
                } else {
                    it >> 1
                }
            })
        })
        .collect();
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        table[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
