//! Random ids and names.

use std::{fs, io};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// A random UUID from the kernel.
pub fn random_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim_end()
        .to_owned())
}

/// `prefix` and a random suffix.
pub(crate) fn random_name(prefix: &str) -> Result<String, Errno> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{prefix}{:016x}", u64::from_ne_bytes(random)))
}

/// Whether `suffix` has the form of those of [`random_name`].
pub(crate) fn is_random_suffix(suffix: &[u8]) -> bool {
    suffix.len() == 16 && suffix.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_differ() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }

    #[test]
    fn the_suffix_of_a_random_name_is_recognized() {
        let name = random_name("a-").unwrap();
        assert!(is_random_suffix(name.strip_prefix("a-").unwrap().as_bytes()));
        assert!(!is_random_suffix(name.as_bytes()));
    }
}
