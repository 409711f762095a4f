//! Makes the file that a box upgrades itself with, and the keys that sign it.

use crate::slot::System;
use anyhow::{Context, Result, ensure};
use director_core::upgrade::bundle::{FRONT, Front, Version};
use director_core::upgrade::trailer::Trailer;
use ed25519_compact::{KeyPair, Seed};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Bytes of the secret: the seed of an Ed25519 key.
const SEED: usize = 32;

/// Makes a key that signs upgrades, in a file that only its owner may read; never replaces one. Gives the public key in hex.
pub fn make_key(path: &Path) -> Result<String> {
    let mut seed = [0; SEED];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).context("random bytes")?;
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).with_context(|| {
            format!("create {}: a key that is there already is not replaced", path.display())
        })?;
    file.write_all(&seed).and_then(|()| file.sync_all()).context("write the key")?;
    Ok(public(&KeyPair::from_seed(Seed::new(seed))))
}

/// Reads a key of [`make_key`].
pub fn read_key(path: &Path) -> Result<KeyPair> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let seed: [u8; SEED] =
        bytes.try_into().ok().with_context(|| format!("{} is no key of this tool", path.display()))?;
    Ok(KeyPair::from_seed(Seed::new(seed)))
}

/// The public half, as people copy it.
pub fn public(key: &KeyPair) -> String {
    key.pk.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs a system for a board; only versions from `needs` on take it.
pub fn bundle(system: &System, board: &str, needs: &str, key: &KeyPair) -> Result<Vec<u8>> {
    let version = |text: &str| {
        text.parse::<Version>().map_err(|()| anyhow::anyhow!("{text:?} is not a version like 1.2.3"))
    };
    let [kernel, initramfs, trailer] = system.pieces.as_slice() else {
        anyhow::bail!("a system has three pieces");
    };
    let trailer = Trailer::decode(&trailer.1).context("the system's trailer is damaged")?;
    let front = Front {
        board: board.to_owned(),
        version: version(&trailer.version)?,
        needs: version(needs)?,
        trailer,
    };
    ensure!(front.needs <= front.version, "an upgrade cannot need a version newer than itself");
    let mut bytes = front.encode().context("the board's name has letters, digits, - and _ only")?;
    let signature = key.sk.sign(&bytes, None);
    bytes.extend_from_slice(&*signature);
    bytes.resize(FRONT, 0);
    bytes.extend_from_slice(&kernel.1);
    bytes.extend_from_slice(&initramfs.1);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use director_core::upgrade::bundle::{Refused, Rules};

    fn system() -> System {
        System::new("1.2.3", "quiet", &[1; 3000], &[2; 700]).unwrap()
    }

    #[test]
    fn a_box_takes_what_was_signed_with_its_key_and_nothing_else() {
        let folder = Folder::new();
        let (one, two) = (folder.join("one"), folder.join("two"));
        let shown = make_key(&one).unwrap();
        make_key(&two).unwrap();
        let key = read_key(&one).unwrap();
        assert_eq!(shown, public(&key));
        let bytes = bundle(&system(), "x86_64", "1.0.0", &key).unwrap();
        let rules =
            |key: KeyPair| Rules { key: *key.pk, board: "x86_64".into(), running: "1.2.0".parse().unwrap() };
        let front = Front::check(&bytes[..FRONT], &rules(key)).unwrap();
        assert_eq!(front.length(), u64::try_from(bytes.len()).unwrap());
        let other = rules(read_key(&two).unwrap());
        assert_eq!(Front::check(&bytes[..FRONT], &other), Err(Refused::Signature));
    }

    #[test]
    fn a_key_is_never_replaced_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let path = folder.join("key");
        make_key(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make_key(&path).is_err());
    }

    #[test]
    fn the_same_parts_and_key_give_the_same_bytes() {
        let key = KeyPair::from_seed(Seed::new([3; SEED]));
        let make = || bundle(&system(), "x86_64", "1.0.0", &key).unwrap();
        assert_eq!(make(), make());
        assert!(bundle(&system(), "x86_64", "1.2.4", &key).is_err());
        assert!(bundle(&system(), "x86 64", "1.0.0", &key).is_err());
    }
}
